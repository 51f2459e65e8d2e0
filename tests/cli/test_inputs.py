import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import split_pair
from uniref_cli.predict_inputs import PredictInput, expand, name_outputs, read_prompts
from uniref_cli.process_rank import ProcessRank, parse_shard, rank_of_environment


def inputs(jobs: list[PredictInput]) -> list[str]:
    return [job.input for job in jobs]


def test_lists_globs_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.mp4", "a.mp4", "c [1].mp4"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("x.mp4\n\n# no\ny.mp4\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"z.mp4\n"))))
    found = inputs(expand([f"{tmp_path}/[ab].mp4", f"@{tmp_path}/list.txt", "-", f"{tmp_path}/c [1].mp4"]))
    assert found == [f"{tmp_path}/a.mp4", f"{tmp_path}/b.mp4", "x.mp4", "y.mp4", "z.mp4", f"{tmp_path}/c [1].mp4"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])  # with a byte order mark
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_and_prompts_of_windows(encoding: str, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = end.join(["é.mp4", "b.mp4", ""]).encode(encoding)
    (tmp_path / "list.txt").write_bytes(listing)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(listing))))
    assert inputs(expand([f"@{tmp_path}/list.txt"])) == inputs(expand(["-"])) == ["é.mp4", "b.mp4"]
    prompts = {
        "p.yaml": ["- input: é.mp4", "  text: dog", "- input: b.mp4", "  text: cat", ""],
        "p.json": ['[{"input": "é.mp4", "text": "dog"},', '{"input": "b.mp4", "text": "cat"}]'],
        "p.jsonl": ['{"input": "é.mp4", "text": "dog"}', "", '{"input": "b.mp4", "text": "cat"}', ""],
    }
    for name, lines in prompts.items():
        (tmp_path / name).write_bytes(end.join(lines).encode(encoding))
        assert [(Path(job.input).name, job.text) for job in read_prompts(tmp_path / name)] == [
            ("é.mp4", ("dog",)),
            ("b.mp4", ("cat",)),
        ], name


def test_support_files_may_hold_an_equals_sign(tmp_path: Path) -> None:
    for name in ("a=b.jpg", "m=1.png", "x.jpg"):
        (tmp_path / name).touch()
    assert split_pair(f"{tmp_path}/a=b.jpg={tmp_path}/m=1.png") == (f"{tmp_path}/a=b.jpg", f"{tmp_path}/m=1.png")
    assert split_pair("x.jpg=m=1.png", tmp_path) == ("x.jpg", "m=1.png")
    assert split_pair("x.jpg=none.png", tmp_path) == ("x.jpg", "none.png")
    assert split_pair("x.jpg=") is split_pair("x.jpg") is None
    (tmp_path / "p.json").write_text(json.dumps([{"input": "v.mp4", "support": "a=b.jpg=m=1.png"}]))
    assert read_prompts(tmp_path / "p.json")[0].support == (f"{tmp_path}/a=b.jpg={tmp_path}/m=1.png",)


def test_each_input_once() -> None:
    assert [job.input for job in expand(["a.png", "b.png", "a.png"])] == ["a.png", "b.png"]


def test_only_addresses_of_the_command_line_are_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [address, camera] = expand(["https://me:pw@example.com/a.mp4?x=1", "0"])
    assert (address.input, address.label) == (
        "https://me:pw@example.com/a.mp4?x=1",
        "https://***@example.com/a.mp4?x=1",
    )
    assert camera.input == "0"
    monkeypatch.chdir(tmp_path)
    Path("list").write_text("https://example.com/a.mp4\n")
    with pytest.raises(
        UsageError, match=r"https://example\.com/a\.mp4: is an address; only inputs on the command line"
    ):
        expand(["@list"])
    # a list and a prompts file name files, whatever they are called
    Path("list").write_text("0\n-\n")
    Path("p.json").write_text('[{"input": "0"}, {"input": "-"}]')
    assert inputs(expand(["@list"])) == inputs(read_prompts(Path("p.json"))) == ["./0", "./-"]


def test_empty_and_missing_lists_are_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(UsageError, match="lists no inputs"):
        expand([f"@{tmp_path}/list.txt"])
    with pytest.raises(UniRefError, match="no such file"):
        expand(["@none.txt"])
    with pytest.raises(UsageError, match="is empty; name a file"):
        expand([""])


@pytest.mark.parametrize("form", ["yaml", "json", "jsonl"])
def test_prompt_files(form: str, tmp_path: Path) -> None:
    records = [{"input": "a.mp4", "text": ["dog", "2=cat"], "start": 3}, {"input": "/b.png", "support": "x.png=y.png"}]
    path = tmp_path / f"jobs.{form}"
    text = "\n".join(map(json.dumps, records)) if form == "jsonl" else json.dumps(records)
    if form == "yaml":
        text = "- input: a.mp4\n  text: [dog, 2=cat]\n  start: 3\n- input: /b.png\n  support: x.png=y.png\n"
    path.write_text(text)
    a, b = read_prompts(path)
    expected = PredictInput(input=str(tmp_path / "a.mp4"), text=("dog", "2=cat"), start="3")
    assert a.model_dump() == expected.model_dump()
    assert a.origin == f"{path}: {'line 1' if form == 'jsonl' else 'record 1'}"
    assert b.input == "/b.png"
    assert b.support == (f"{tmp_path}/x.png={tmp_path}/y.png",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"input": "a"}\nnope', "line 2: is not valid JSON"),
        ("a.jsonl", '{"input": "a", "txt": "b"}', "line 1: txt: unknown key; expected one of input, name, text"),
        ("a.yaml", "- text: dog", "record 1: input: Field required"),
        ("a.yaml", "input: dog", "expected a list"),
        ("a.yaml", "- [", "not readable as YAML"),
        ("a.json", "[1]", "record 1"),
        ("a.json", "[]", "no records"),
        (
            "a.json",
            '[{"input": "a", "score_threshold": 5}]',
            "a.json: record 1: score_threshold: .* less than or equal",
        ),
        ("a.json", '[{"input": "a", "score_threshold": NaN}]', "a.json: record 1: score_threshold: .* finite"),
        ("a.jsonl", '{"input": "a", "stride": -2}', "a.jsonl: line 1: stride: .* greater than or equal to 1"),
        ("a.jsonl", '{"input": "a", "start": "abc"}', "a.jsonl: line 1: start 'abc': use a frame index"),
        ("a.jsonl", '{"input": "a"}\n{"input": "b", "end": -1}', "a.jsonl: line 2: end '-1': use a frame index"),
        ("a.json", '[{"input": " "}]', "a.json: record 1: input: is empty"),
        ("a.json", '[{"input": "a", "stride": true}]', "record 1: stride: expected a number"),
        ("a.json", '[{"input": "a", "text": 5}]', "record 1: text: expected a text or a list of texts"),
        ("a.json", '[{"input": "a", "start": 1.5}]', "record 1: start '1.5': use a frame index"),
        ("a.json", "[5]", "record 1: record: expected a record, as in"),
    ],
)
def test_wrong_prompt_files_name_the_place(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UniRefError, match=message) as caught:
        read_prompts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_outputs_get_distinct_names() -> None:
    jobs = [PredictInput(input=p) for p in ("a/clip.mp4", "a/clip.mov", "b/clip.mp4", "b/clip.mp4", "frames/")]
    jobs.append(PredictInput(input="z.mp4", name="clip"))
    assert name_outputs(jobs) == ["clip.mp4", "clip.mov", "b_clip.mp4", "clip-2", "frames", "clip"]
    assert name_outputs([PredictInput(input="a/x.gif"), PredictInput(input="a/x.png")]) == [
        "x.gif",
        "x.png",
    ]  # neither is just "x"
    with pytest.raises(UsageError, match="two records"):
        name_outputs([PredictInput(input="a", name="x"), PredictInput(input="b", name="x")])
    with pytest.raises(UsageError, match="plain folder name"):
        name_outputs([PredictInput(input="a", name="../x")])


def test_shards() -> None:
    assert parse_shard("2/3") == ProcessRank(1, 3)
    assert rank_of_environment({}, 9) == ProcessRank(0, 1)
    assert rank_of_environment({"RANK": "1", "WORLD_SIZE": "4"}, 9) == ProcessRank(1, 4)
    array = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_STEP": "2"}
    assert rank_of_environment(array | {"SLURM_ARRAY_TASK_COUNT": "5"}, 9) == ProcessRank(2, 5)
    # a task that was handed one input does it, whichever its number
    assert rank_of_environment(array | {"SLURM_ARRAY_TASK_COUNT": "5"}, 1) == ProcessRank(0, 1)
    step = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    assert rank_of_environment(array | step | {"SLURM_ARRAY_TASK_COUNT": "5"}, 9) == ProcessRank(5, 10)
    for text in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(UsageError, match="--shard"):
            parse_shard(text)
    with pytest.raises(UsageError, match="RANK=9"):
        rank_of_environment({"RANK": "9", "WORLD_SIZE": "4"}, 9)
    with pytest.raises(UsageError, match="RANK=x"):
        rank_of_environment({"RANK": "x", "WORLD_SIZE": "4"}, 9)


def test_addresses_in_lists_and_prompts_show_no_password(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("https://me:geheim@example.com/a.mp4\n")
    (tmp_path / "p.json").write_text(json.dumps([{"input": "a.mp4", "mask": "https://me:geheim@example.com/m.png"}]))
    for attempt in (lambda: expand([f"@{tmp_path / 'list'}"]), lambda: read_prompts(tmp_path / "p.json")):
        with pytest.raises(UsageError, match=r"https://\*\*\*@example\.com/.*: is an address") as caught:
            attempt()
        assert "geheim" not in str(caught.value)


def test_an_endless_list_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def read(self, size: int) -> bytes:
            return b"x" * size

        peek = read

        @property
        def buffer(self) -> "Endless":
            return self

    monkeypatch.setattr("uniref_cli.predict_inputs._LONGEST_LIST", 1000)
    monkeypatch.setattr("sys.stdin", Endless())
    with pytest.raises(UniRefError, match="standard input: is longer than 1,000"):
        expand(["-"])


def test_the_folder_above_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clip" / "inner")
    assert name_outputs([PredictInput(input=".."), PredictInput(input=".")]) == ["clip", "inner"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('- input: a\n  text: !!int "abc"\n', r"p\.yaml:2: 'abc' is not a number"),
        ('- input: a\n  text: !!float "abc"\n', r"p\.yaml:2: 'abc' is not a number"),
        ('- input: "\\uD800"\n  text: x\n', r"p\.yaml:1: holds half a surrogate pair"),
        ("- input: " + "[" * 1000 + "]" * 1000, r"p\.yaml:1: not readable as YAML: it is nested more than 64 deep"),
        ("- &a [*a, *a]", "aliases are not supported"),
        ("- input: " + "9" * 5000, "digits is not read"),
        ("- !!python/object/apply:os.system [ls]", "record 1"),
        ("- {input: a, text: b, score_threshold: .nan}", "score_threshold"),
        ("- {input: a, text: b, stride: 1180591620717411303424}", "stride"),
    ],
)
def test_hostile_prompts_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UniRefError, match=message) as caught:
        read_prompts(tmp_path / "p.yaml")
    assert "p.yaml" in str(caught.value)


def test_a_mistyped_name_is_told_before_pytorch_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from uniref_cli.app import run; code = run(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "predict", "nowhere.mp4", "--text", "a car", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "uniref: error: nowhere.mp4: no such file or folder\n"
    assert json.loads(done.stdout)["error"] == "nowhere.mp4: no such file or folder"


def test_an_input_counts_once_however_it_is_written() -> None:
    inputs = expand(["b.mp4", "./b.mp4", "a/../b.mp4", "c.mp4", "0", "./0"])
    assert [each.input for each in inputs] == ["b.mp4", "c.mp4", "0", "./0"]


def test_folders_that_are_links_lead_to_other_inputs(tmp_path: Path) -> None:
    (tmp_path / "far/sub").mkdir(parents=True)
    (tmp_path / "near").symlink_to(tmp_path / "far/sub")
    for path in ("a.mp4", "far/a.mp4"):
        (tmp_path / path).write_bytes(b"")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    # near/.. is far, and a link may be asked for beside its file
    names = [str(tmp_path / name) for name in ("a.mp4", "near/../a.mp4", "link.mp4")]
    assert [each.input for each in expand(names)] == names
    assert [each.input for each in expand([names[1], str(tmp_path / "far/a.mp4")])] == [names[1]]


@pytest.mark.parametrize("key", ["all", "propagate", "two_pass", "both_ways"])
def test_truth_values_of_records_are_no_texts(tmp_path: Path, key: str) -> None:
    (tmp_path / "p.json").write_text(json.dumps([{"input": "a.mp4", "text": None, "box": None, key: "yes"}]))
    with pytest.raises(UniRefError, match=rf"record 1: {key}: "):
        read_prompts(tmp_path / "p.json")
    (tmp_path / "p.json").write_text(json.dumps([{"input": "a.mp4", "text": None, "box": None, key: True}]))
    assert read_prompts(tmp_path / "p.json")[0].text == ()
