"""What other public repositories for this exercise report: their authors' figures, read there, measured by nobody here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """One net's claim; accuracies are fractions of the test images."""

    name: str  # the repository
    n_parameters: int
    best: float
    final: float | None  # None where it was not reported
    protocol: str = "one seed, epoch chosen on the test set, log seen"


TEXT = "one seed, epoch chosen on the test set, no log"
PEERS = (
    Peer("nagalakshmi-nimmagadda/MNIST-CNN-COLAB", 6_188, 0.9954, 0.9944),
    Peer("pankaja0285/era_v1_session7_pankaja", 6_720, 0.9953, None, TEXT),
    Peer("sayanbanerjee32/TSAI_ERAv2_S7", 7_432, 0.9951, 0.9951),
    Peer("woncoh1/era1a7", 4_392, 0.9948, 0.9946),
    Peer("roulupen/ERAV4", 7_954, 0.9946, 0.9946),
    Peer("gopal2812/convandgpt", 5_711, 0.9946, 0.9942),
    Peer("mshsingh772/MNIST-8k", 7_944, 0.9946, 0.9941),
    Peer("KD1994/session-7-MNIST-8k", 6_544, 0.9945, 0.9940),
    Peer("Shilpaj1994/ERA", 7_884, 0.9944, 0.9944),
    Peer("hsinghweb/era-v3-s7-cnn-cloud", 7_902, 0.9944, None, "one run each on two machines, 99.23% and 99.43% at the end; logs seen"),
    Peer("garima-mahato/ERA_V3", 8_000, 0.9942, 0.9942),
    Peer("sagarigrandhi/EVA4", 9_994, 0.9961, 0.9960),
    Peer("divya-r-kamat/EfficientMnist-Under20K", 15_794, 0.9959, 0.9959),
    Peer("Shilpaj1994/ERA, session 6", 19_972, 0.9957, 0.9957),
    Peer("uday96/EVA4-TSAI", 8_500, 0.9949, 0.9949),
    Peer("pradeep6kumar/mnist_994", 19_898, 0.9954, 0.9921),
    Peer("ruslangrimov/mnist-minimal-model", 1_936, 0.9910, None, "one run of 75 epochs, chosen on validation images"),
    Peer("JoshWarn/Parameter-Efficient-MNIST", 697, 0.9903, None, "best of some 700 nets of up to 2,000 epochs"),
)
