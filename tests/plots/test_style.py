from matplotlib.figure import Figure

from pointmcd.plots.style import svg_uri, variant_colours


def test_known_variants_keep_their_colour_and_all_differ() -> None:
    labels = ["dgcnn baseline", "distilled", "baseline", "pointnet distilled", "x", "y"]
    colours = variant_colours(labels)
    assert len(set(colours.values())) == len(labels)
    assert colours["distilled"] == variant_colours(["distilled"])["distilled"]


def test_more_variants_than_colours() -> None:
    assert len(variant_colours([f"variant{i}" for i in range(30)])) == 30


def test_same_figure_gives_the_same_text() -> None:
    def figure() -> Figure:
        made = Figure()
        made.add_subplot().plot([1, 2])
        return made

    assert svg_uri(figure()) == svg_uri(figure())
