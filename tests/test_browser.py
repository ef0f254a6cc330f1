"""The report's page as a browser shows it, on a phone and on a desktop, by day and by night."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from conftest import mixed_table
from sklearn.datasets import load_digits

from ganaug import ConditionalGAN, quality_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Of every element that holds text itself: the contrast of its colour to the nearest background
# that is not transparent, as WCAG 2 defines it.
CONTRASTS = """
() => {
  const light = c => {
    const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const numbers = text => text.match(/[0-9.]+/g).map(Number);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter(
    e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  return texts.map(e => {
    const [a, b] = [light(numbers(getComputedStyle(e).color).slice(0, 3)), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.textContent.slice(0, 30)];
  });
}
"""
# What reaches over the right edge of the window, but for the inside of what scrolls by itself.
SPILLS = """
() => [...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .filter(e => !e.closest(".wide") || e.matches(".wide"))
  .map(e => e.tagName + " " + e.textContent.slice(0, 30))
"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=["images", "table"])
def page(request, tmp_path_factory):
    """A report with every part: of a generator, with held-out samples, and long class names."""
    if request.param == "images":
        X = np.round(load_digits().images * 255 / 16).astype(np.uint8)
        y = np.array([f"a class with a name of many words: {label}" for label in load_digits().target])
    else:
        X, y = mixed_table(300), np.arange(300) % 3
    half = len(y) // 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganaug.evaluation.quality.CLASSIFIER_STEPS", 20)
        gan = ConditionalGAN(steps=2, random_state=0).fit(X[:half], y[:half])
        report = quality_report(gan, X[:half], y[:half], X[half:], y[half:], per_class=20)
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.to_html(path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(360, 740), (1280, 900)], ids=["phone", "desktop"])
def test_nothing_spills_breaks_or_fades(browser, page, size, scheme):
    shown = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url[:40]))
    shown.goto(page.as_uri())
    assert all(url.startswith(("file:", "data:")) for url in asked)  # it stands alone
    assert shown.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert shown.evaluate(SPILLS) == []
    pictures = shown.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt])")
    assert len(pictures) >= 4
    assert all(width > 0 and words for width, words in pictures)
    contrasts = shown.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert min(contrasts)[0] >= 4.5, min(contrasts)  # WCAG 2, level AA
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    shown.close()
