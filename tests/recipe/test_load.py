from pathlib import Path

import pytest

from uniref.core.errors import UsageError
from uniref.recipe.load import load_recipe

BASE = """\
defaults:
  optim: {lr: 1e-4}
  global_batch: 4
stages:
  a:
    steps: 10
    data:
      sources:
        - index: pets/train
"""


def write(folder: Path, text: str, name: str = "r.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_reach_every_stage_and_1e_4_is_a_number(tmp_path: Path) -> None:
    stage = load_recipe(write(tmp_path, BASE)).stages["a"]
    assert stage.optim.lr == 1e-4
    assert (stage.global_batch, stage.micro_batch, stage.micro_batches_per_step) == (4, 2, 2)


def test_extends_merges_key_by_key_and_replaces_lists(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base.yaml")
    over = "extends: ../base.yaml\nstages: {a: {optim: {weight_decay: 0}, data: {sources: [{index: cars/val}]}}}\n"
    stage = load_recipe(write(tmp_path, over, "sub/r.yaml")).stages["a"]
    assert (stage.optim.lr, stage.optim.weight_decay, stage.steps) == (1e-4, 0, 10)
    assert [source.index for source in stage.data.sources] == ["cars/val"]


def test_extends_of_several_files_and_null_takes_a_part_away(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base.yaml")
    write(
        tmp_path, "defaults: {model: {text: null, mask_encoder: null, fusion: null}, global_batch: 6}\n", "plain.yaml"
    )
    stage = load_recipe(write(tmp_path, "extends: [base.yaml, plain.yaml]\n")).stages["a"]
    assert stage.model.fusion is None
    assert stage.global_batch == 6


def test_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    recipe = load_recipe(
        path, ["stages.*.steps=7", "stages.a.data.sources.0.ratio=2", "defaults.optim.lr=3e-5", "run.loggers=[]"]
    )
    stage = recipe.stages["a"]
    assert (stage.steps, stage.data.sources[0].ratio, stage.optim.lr) == (7, 2, 3e-5)
    assert recipe.run.loggers == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps:", "stpes:"), "r.yaml:6: stages.a.stpes: unknown key; did you mean steps?"),
        (("index:", "indx:"), "r.yaml:9: stages.a.data.sources.0.indx: unknown key; did you mean index?"),
        (("{lr: 1e-4}", "{lr: fast}"), "r.yaml:2: stages.a.optim.lr: input should be a valid number (is 'fast')"),
        (("steps: 10", "steps: 1e1"), "r.yaml:6: stages.a.steps: input should be a valid integer (is 10.0)"),
        (("steps: 10", "steps: true"), "r.yaml:6: stages.a.steps: input should be a valid integer (is True)"),
        (("steps: 10", "steps: '10'"), "r.yaml:6: stages.a.steps: input should be a valid integer (is '10')"),
        (("steps: 10", "steps: 10\n    steps: 11"), "r.yaml:7: steps: is given twice (first at "),
        (("    steps: 10\n", ""), "r.yaml:5: stages.a.steps: is missing"),
        (("steps: 10", "precision: fp16"), "r.yaml:6: stages.a.precision: 'fp16' is not a valid value; use 'auto'"),
        (("steps: 10", "micro_batch: 3\n    steps: 10"), "not a multiple of micro_batch 3; change one"),
        (("steps: 10", "parallel: fsdp\n    steps: 10"), "set data.same_source_on_all_ranks: true, or parallel: ddp"),
        (("steps: 10", "init: {stage: b}\n    steps: 10"), "stages.a.init.stage: 'b' is not an earlier stage"),
        (("steps: 10", "init: {stage: b, model: c}\n    steps: 10"), "either stage or model"),
        (("steps: 10", "model: {text: null}\n    steps: 10"), "is trained as ris, but model.text is null"),
        (("steps: 10", "steps: *anchor"), "r.yaml:6: not readable as YAML: aliases are not supported"),
        (("steps: 10", "steps: !!python/object:os.system 1"), "unknown tag"),
        (("steps: 10", "steps: [1"), "not readable as YAML"),
        (("defaults:", "extends: nowhere.yaml\ndefaults:"), "r.yaml:1: extends: no such file"),
        (("defaults:", "extends: r.yaml\ndefaults:"), "extends itself (r.yaml -> r.yaml)"),
    ],
)
def test_errors_name_place_and_remedy(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = BASE.replace("index: pets/train", "index: pets/train\n          task: ris")
    with pytest.raises(UsageError) as caught:
        load_recipe(write(tmp_path, text.replace(*change)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_all_stages_inherit_is_told_once(tmp_path: Path) -> None:
    text = (
        BASE.replace("{lr: 1e-4}", "{lr: 1e-4, lrr: 1}") + "  b:\n    steps: 1\n    data: {sources: [{index: p/t}]}\n"
    )
    with pytest.raises(UsageError, match=r"^\S*r.yaml:2: stages\.a\.optim\.lrr: unknown key; did you mean lr\?$"):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{levls: 4}", "model.levls: unknown key; did you mean levels?"),
        ("{levels: 2}", "model.levels: input should be greater"),
        ("{family: sam, fuson: 1}", "model.fuson: unknown key; did you mean fusion?"),
        (
            "{family: sam, image_encoder: vit_x}",
            "model.image_encoder: 'vit_x': not a released size; use one of vit_b",
        ),
        ("{family: sam, text: null}", "is trained as ris, but model.text is null"),
        ("{family: sma}", "model: family: is not a valid value; use 'uniref' or 'sam'"),
    ],
)
def test_errors_in_a_model_of_either_family(tmp_path: Path, model: str, message: str) -> None:
    text = BASE.replace("index: pets/train", "index: pets/train\n          task: ris")
    with pytest.raises(UsageError) as caught:
        load_recipe(write(tmp_path, text.replace("steps: 10", f"steps: 10\n    model: {model}")))
    assert message in str(caught.value)


def test_a_sam_is_not_trained_to_detect(tmp_path: Path) -> None:
    text = BASE.replace("index: pets/train", "index: pets/train\n          task: detection")
    with pytest.raises(UsageError, match="pets/train\\) has no reference to follow, which a SAM model needs"):
        load_recipe(write(tmp_path, text), ["stages.a.model.family=sam"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.a.stesp=3", "--set stages.a.stesp=3: stages.a.stesp: unknown key; did you mean steps?"),
        ("stages.a.steps", "write --set key.of.the.recipe=value"),
        ("stages.a.data.sources.4.ratio=1", "'4' is not a valid entry of the list at "),
        ("stages.b.steps=3", "--set stages.b.steps=3: the recipe has no stage b; expected one of a"),
    ],
)
def test_wrong_overrides(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(write(tmp_path, BASE), [override])
    assert message in str(caught.value)


def test_hash_follows_what_decides_the_result(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    first = load_recipe(path).stage_hash("a")
    assert load_recipe(path, ["stages.a.checkpoint.every=5", "stages.a.data.workers=0"]).stage_hash("a") == first
    assert load_recipe(path, ["seed=1"]).stage_hash("a") != first
    assert load_recipe(path, ["stages.a.optim.lr=2e-4"]).stage_hash("a") != first


def test_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = str(write(tmp_path, BASE))
    code = (
        "import sys; from pathlib import Path; from uniref.recipe.load import load_recipe; "
        f"load_recipe(Path({path!r})); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
