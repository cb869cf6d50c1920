import io

import numpy as np
import pytest

from pointmcd.plots.confusion import confusion_figure


@pytest.mark.parametrize("count", [1, 3, 40])
def test_any_number_of_classes_is_drawn(count: int) -> None:
    confusion = np.diag(np.arange(count))  # the first class has no shapes
    names = [f"class_{i} $a$" for i in range(count)]
    figure = confusion_figure(confusion, names, "title")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    assert buffer.getvalue().startswith(b"\x89PNG")
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[0] == r"class 0 \$a\$"
    numbers = {text.get_text() for text in figure.axes[0].texts}
    assert numbers == ({str(i) for i in range(1, count)} if count < 40 else set())
