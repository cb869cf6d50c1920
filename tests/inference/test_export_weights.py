import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pointmcd.errors import ConfigError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import write_json
from pointmcd.inference.export import export_run
from pointmcd.training.model import load_model, new_model
from pointmcd.training.run import Run


def card_of(folder):
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(header), text


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_the_weights_are_those_of_the_checkpoint(trained_run, tmp_path, checkpoint):
    folder = export_run(trained_run, "safetensors", tmp_path / "weights", checkpoint)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.safetensors"]
    tensors = load_file(folder / "model.safetensors")
    wanted = load_model(Run(trained_run), checkpoint, torch.device("cpu")).state_dict()
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[name], wanted[name]) for name in wanted)
    new_model(Run(trained_run)).load_state_dict(tensors)


def test_the_card_states_data_licence_seeds_and_metrics(run_copy, tmp_path):
    metrics = evaluate(run_copy, device="cpu")["last"]
    folder = export_run(run_copy, "safetensors", tmp_path / "weights")
    header, text = card_of(folder)
    assert header["license"] == "other"
    for line in (
        "- Source: `meshes`",
        "- Shapes: 9 train, 3 val, 6 test",
        "- Classes (3): bed, chair, lamp",
        "- Licence of the data: see its source; pointmcd does not know it",
        "- Name: `lite0`, on the image encoder `lite0`",
        "- Licence of its pretrained weights: Apache-2.0",
        "- Seed: 0",
        f"- overall_accuracy: {metrics.overall_accuracy:.4f}",
        f"- chair: {metrics.per_class['chair']:.4f}",
        f"Made by `pointmcd export {run_copy} --to safetensors --checkpoint last`",
    ):
        assert line in text, line
    settings = json.loads(text.partition("```json\n")[2].partition("```")[0])
    assert settings == Run(run_copy).meta["settings"]


def test_what_is_not_known_is_not_invented(run_copy):
    meta = Run(run_copy).meta
    other = meta["teacher"] | {"settings": meta["teacher"]["settings"] | {"teacher": "mine"}}
    write_json(run_copy / "run.json", meta | {"store": "/gone/set", "teacher": other})
    _, text = card_of(export_run(run_copy, "safetensors"))
    assert "- Source: unknown (the store `set` is not available)" in text
    assert "- Licence of its pretrained weights: unknown" in text
    assert "Not evaluated on a test split" in text
    assert "overall_accuracy" not in text


def test_a_baseline_of_parts_has_no_teacher_and_part_names(trained_parts_run, tmp_path):
    _, text = card_of(export_run(trained_parts_run, "safetensors", tmp_path / "weights"))
    assert "None: trained without distillation." in text
    assert "\n- Parts of chair, from logit 2 on: legs, seat, back\n" in text


def test_random_weights_have_no_licence(run_copy):
    meta = Run(run_copy).meta
    other = meta["teacher"] | {
        "settings": meta["teacher"]["settings"] | {"teacher": "random:lite0"}
    }
    write_json(run_copy / "run.json", meta | {"teacher": other})
    _, text = card_of(export_run(run_copy, "safetensors"))
    assert "- Licence of its weights: none; they are random" in text


def test_only_its_own_folder_is_replaced(trained_run, tmp_path):
    folder = export_run(trained_run, "safetensors", tmp_path / "weights")
    export_run(trained_run, "safetensors", folder)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds other files"):
        export_run(trained_run, "safetensors", folder)
    assert (folder / "thesis.txt").exists()
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        export_run(trained_run, "safetensors", folder / "thesis.txt")
    with pytest.raises(
        ConfigError, match=r"--points 64: must be at least 1, and applies only to --to onnx"
    ):
        export_run(trained_run, "safetensors", tmp_path / "other", points=64)


def test_from_the_command_line(cli, run_copy):
    status, out, err = cli("export", run_copy, "--to", "safetensors")
    assert (status, out) == (0, f"{run_copy / 'export'}\n")
    size = (run_copy / "export" / "model.safetensors").stat().st_size
    note, told = err.splitlines()
    assert note.startswith("note: confidences are not calibrated: 3 shapes were held out, 20 are")
    assert told == f"model.safetensors: {size / 1e6:.1f} MB"
    assert (run_copy / "export" / "README.md").is_file()
