"""Balancing in a scikit-learn workflow: GANOverSampler where SMOTE would stand."""

import argparse

from imblearn.pipeline import make_pipeline
from sklearn.datasets import load_digits
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from ganaug import ConditionalGAN, GANOverSampler, QualityGate


def main(steps: int | str) -> None:
    X, y = load_digits(return_X_y=True)
    X = X / 16  # images must be uint8, or float in [0, 1]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    kept = (y_train != 8) | ((y_train == 8).cumsum() <= 10)  # all digits, but only ten eights
    X_train, y_train = X_train[kept], y_train[kept]

    gan = QualityGate(ConditionalGAN(steps=steps))
    sampler = GANOverSampler(gan, image_shape=(8, 8), random_state=0)
    model = make_pipeline(sampler, SVC()).fit(X_train, y_train)
    sampler = model[0]
    print("images added:", {str(k): int(v) for k, v in sampler.sampling_strategy_.items() if v})
    print(classification_report(y_test, model.predict(X_test)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default="auto")
    main(parser.parse_args().steps)
