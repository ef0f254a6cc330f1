"""Progress bars, and what happens where none is shown."""

from __future__ import annotations

import pytest
from tqdm.auto import tqdm

from ganaug import ConditionalGAN, quality_report, write_hdf5
from ganaug.io.progress import NoBar, progress_bar


class Taken:
    """The lock of bars, as it is after a forked process was killed that had it; but it does not wait."""

    def acquire(self, *arguments, **options):
        raise TimeoutError("tqdm waits for its lock")

    def __enter__(self):
        self.acquire()

    def __exit__(self, *exc):
        pass

    def release(self):
        pass


@pytest.fixture
def lock_is_taken():
    lock = tqdm.get_lock()
    tqdm.set_lock(Taken())
    yield
    tqdm.set_lock(lock)


@pytest.mark.filterwarnings("ignore:Class")
def test_nothing_waits_for_the_lock_of_bars_that_are_not_shown(lock_is_taken, stripes, tmp_path):
    X, y = stripes
    with pytest.raises(TimeoutError), tqdm.get_lock():
        pass
    gan = ConditionalGAN(steps=2, random_state=0).fit(X, y)
    write_hdf5(gan, tmp_path / "x.h5", 3, random_state=0)
    quality_report(gan, X, y, per_class=10)


@pytest.mark.parametrize(("shown", "terminal"), [(True, True), (True, False), (False, True)])
def test_bars_are_shown_on_terminals_only(shown, terminal, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with progress_bar(shown=shown, desc="work", total=3) as bar:
        bar.update()
        bar.set_postfix(loss=1)
    assert isinstance(bar, NoBar) == (not (shown and terminal))
    assert ("work" in capsys.readouterr().err) == (shown and terminal)
