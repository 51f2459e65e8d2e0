"""`uniref predict` as a user runs it, on files that are really encoded."""

import gc
import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tests.marks import slow_except
from uniref import Predictor
from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.image import read_image
from uniref.media.mask import read_mask, write_labels
from uniref.media.source import MediaSource, Selection
from uniref.media.video_read import VideoFile
from uniref_cli.app import run

MakeVideo = Callable[..., Path]


@pytest.fixture
def predict(checkpoint: Path, tmp_path: Path) -> Callable[..., int]:
    """Run the command with the tiny checkpoint at 64 px into tmp_path/out."""

    def call(*arguments: object, side: str = "64") -> int:
        fixed = ["--checkpoint", checkpoint, "--out", tmp_path / "out", "--short-side", side, "--no-index"]
        return run(["predict", *map(str, [*arguments, *fixed])])

    return call


def read_summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_video_gives_overlay_masks_and_summary(predict, make_video: MakeVideo, tmp_path: Path) -> None:
    clip = make_video(frames=5, fps=30000 / 1001)
    assert predict(clip, "--text", "the red car") == 0
    out = tmp_path / "out" / "clip"
    overlay = VideoFile(out / "overlay.mp4")
    assert overlay.frame_count == 5
    assert overlay.fps == pytest.approx(30000 / 1001, rel=1e-6)
    assert next(iter(overlay.frames())).image.shape == (48, 64, 3)
    assert [p.name for p in sorted((out / "masks").iterdir())] == [f"{i:05d}.png" for i in range(5)]
    summary = read_summary(out)
    assert summary["frames"]["written"] == 5
    assert summary["objects"]["1"]["text"] == "the red car"
    assert sorted(p.name for p in out.iterdir()) == ["masks", "overlay.mp4", "summary.json"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["clip"]


@pytest.mark.slow
def test_files_hold_what_the_interface_returns(
    predict, make_video: MakeVideo, mask_png: Path, checkpoint: Path, tmp_path: Path
) -> None:
    clip = make_video(frames=4)
    assert predict(clip, "--mask", mask_png, "--text", "dog", "--save", "masks,rle,npz", "--score-threshold", 0) == 0
    frames = [f.image for f in VideoFile(clip).frames()]
    first = read_mask(mask_png) > 0
    expected = list(
        Predictor.from_pretrained(checkpoint, "cpu").segment_video(
            frames, text="dog", masks={0: {1: first}}, score_threshold=0, short_side=64
        )
    )
    out = tmp_path / "out" / "clip"
    records = [json.loads(line) for line in (out / "masks.jsonl").read_text().splitlines()]
    assert len(records) == 8
    with np.load(out / "masks.npz") as archive:
        for frame in expected:
            assert np.array_equal(read_mask(out / "masks" / f"{frame.index:05d}.png"), frame.labels)
            assert np.array_equal(archive[f"{frame.index:05d}"], frame.labels)
        assert archive["ids"].tolist() == [1, 2]
        assert archive["scores"].shape == (4, 2)
    for record in records:
        frame, mask = expected[record["image_id"]], expected[record["image_id"]].masks[record["object_id"]]
        assert np.array_equal(coco_mask.decode(record["segmentation"]).astype(bool), mask)
        assert record["area"] == mask.sum()
        assert record["score"] == pytest.approx(frame.scores[record["object_id"]], abs=1e-5)
        if mask.any():
            x, y, w, h = record["bbox"]
            ys, xs = np.nonzero(mask)
            assert (x, y, x + w, y + h) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_pictures_by_text_and_by_support(predict, png: Path, mask_png: Path, picture, tmp_path: Path) -> None:
    assert predict(png, "--text", "dog", "--text", "5=cat", "--save", "overlay,masks,cutout,rle") == 0
    out = tmp_path / "out" / "picture"
    assert sorted(p.name for p in out.iterdir()) == [
        "cutout.png", "mask.png", "masks.jsonl", "overlay.png", "summary.json",
    ]  # fmt: skip
    assert read_image(out / "overlay.png").shape == picture.shape
    with Image.open(out / "cutout.png") as cutout:
        assert cutout.mode == "RGBA"
        assert np.array_equal(np.asarray(cutout)[..., 3] > 0, read_mask(out / "mask.png") > 0)
    assert predict(png, "--support", f"{png}={mask_png}", "--overwrite") == 0
    assert read_summary(out)["objects"]["1"]["kind"] == "support"


@pytest.mark.slow
def test_transparent_videos(predict, make_video: MakeVideo, tmp_path: Path, mask_png: Path) -> None:
    assert predict(make_video(frames=3), "--mask", mask_png, "--save", "webm,prores,cutout") == 0
    out = tmp_path / "out" / "clip"
    assert "alpha_mode" in run_ffmpeg(["-i", str(out / "cutout.webm")])[1].lower()
    assert "yuva444p" in run_ffmpeg(["-i", str(out / "cutout.mov")])[1]
    assert len(list((out / "cutout").iterdir())) == 3


def test_folder_of_frames_keeps_its_names(predict, picture, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("img_9", "img_10", "img_11"):
        Image.fromarray(picture).save(folder / f"{name}.png")
    assert predict(folder, "--text", "dog", "--start", 1) == 0
    assert [p.name for p in sorted((tmp_path / "out" / "frames" / "masks").iterdir())] == ["img_10.png", "img_11.png"]


def test_sound_is_kept(predict, make_video: MakeVideo, tmp_path: Path) -> None:
    loud = tmp_path / "loud.mp4"
    tone = ["-f", "lavfi", "-i", "sine=d=1", "-c:v", "copy", "-shortest", str(loud)]
    assert run_ffmpeg(["-y", "-i", str(make_video(frames=25)), *tone])[0] == 0
    assert predict(loud, "--text", "dog", "--end", 8) == 0
    overlay = tmp_path / "out" / "loud" / "overlay.mp4"
    assert "Audio:" in run_ffmpeg(["-i", str(overlay)])[1]
    assert VideoFile(overlay).frame_count == 8


@pytest.mark.slow
def test_variable_rate_keeps_its_timing(predict, make_video: MakeVideo, tmp_path: Path) -> None:
    vfr = tmp_path / "vfr.mp4"
    drop = "select='lt(n,10)+not(mod(n,5))'"
    run_ffmpeg(["-y", "-i", str(make_video(frames=40)), "-vf", drop, "-fps_mode", "vfr", str(vfr)])
    source = VideoFile(vfr)
    last = list(source.frames())[-1]
    assert predict(vfr, "--text", "dog") == 0
    overlay = VideoFile(tmp_path / "out" / "vfr" / "overlay.mp4")
    seconds = overlay.frame_count / overlay.fps
    assert seconds == pytest.approx(last.seconds + last.duration, abs=0.1)
    assert len(list((tmp_path / "out" / "vfr" / "masks").iterdir())) == source.frame_count


def test_a_rerun_skips_what_is_done(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    clip = make_video(frames=3)
    arguments = (clip, "--text", "dog")
    assert predict(*arguments) == 0
    stamp = (tmp_path / "out" / "clip" / "overlay.mp4").stat().st_mtime_ns
    capsys.readouterr()
    assert predict(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "skipped"
    assert (tmp_path / "out" / "clip" / "overlay.mp4").stat().st_mtime_ns == stamp


def test_another_request_gets_a_folder_of_its_own(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    clip, out = make_video(frames=2), tmp_path / "out"

    def texts() -> dict[str, str]:
        return {folder.name: read_summary(folder)["objects"]["1"]["text"] for folder in sorted(out.iterdir())}

    for text in ("dog", "cat", "cow"):
        assert predict(clip, "--text", text) == 0
    assert texts() == {"clip": "dog", "clip-2": "cat", "clip-3": "cow"}
    assert f"{out}/clip holds the result of another request; this goes to {out}/clip-2" in capsys.readouterr().out
    # the same request finds its own
    assert predict(clip, "--text", "cat", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["status"], record["output"]) == ("skipped", str(out / "clip-2"))
    # what changes no file makes no other request; what is refused is not announced
    assert predict(clip, "--text", "cat", "--save", "masks, overlay", "--json") == 0
    assert json.loads(capsys.readouterr().out)["output"] == str(out / "clip-2")
    assert predict(clip, "--text", "cow", "--box", "5,5,5,5") == 2
    assert "goes to" not in capsys.readouterr().out
    # overwriting repeats a request where it is, and gives the usual place to a new one
    assert predict(clip, "--text", "cat", "--overwrite") == predict(clip, "--text", "hen", "--overwrite") == 0
    assert texts() == {"clip": "hen", "clip-2": "cat", "clip-3": "cow"}
    # a name that was chosen is kept
    prompts = tmp_path / "jobs.jsonl"
    prompts.write_text(json.dumps({"input": str(clip), "text": "pig", "name": "clip"}))
    assert predict("--prompts", prompts) == 2
    assert f"{prompts}: line 1: {out}/clip: holds the result of another request" in capsys.readouterr().err


def test_failures_are_records_too(predict, png: Path, tmp_path: Path, capsys) -> None:
    prompts = tmp_path / "jobs.jsonl"
    prompts.write_text(json.dumps({"input": "none.mp4", "text": "dog"}))
    assert predict("--prompts", prompts, "--json") == 1
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record == {
        "input": str(tmp_path / "none.mp4"),
        "status": "failed",
        "error": f"{tmp_path}/none.mp4: no such file or folder",
        "record": f"{prompts}: line 1",
    }
    assert captured.err == f"uniref: error: {prompts}: line 1: {tmp_path}/none.mp4: no such file or folder\n"
    # raised while the prompt is read
    prompts.write_text(json.dumps({"input": str(png), "text": "999=dog"}) + "\n" + json.dumps({"input": str(png)}))
    assert predict("--prompts", prompts, "--text", "cat") == 1
    assert f"{prompts}: line 1: --text '999=dog': object ids go from 1 to 255" in capsys.readouterr().err
    # usage errors, of every input
    assert predict(png, tmp_path / "b.mp4", "--json") == 2
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(r["input"]).name, r["status"], r["error"]) for r in records] == [
        ("picture.png", "failed", "no prompt given"),
        ("b.mp4", "failed", "no prompt given"),
    ]


def test_frames_of_several_sizes(predict, picture, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, size in (("a", (64, 48)), ("b", (32, 48)), ("c", (64, 48))):
        Image.fromarray(picture).resize(size).save(folder / f"{name}.png")
    assert predict(folder, "--text", "dog", "--save", "overlay,masks") == 0
    assert "its frames differ in size (32 x 48 from b.png on)" in capsys.readouterr().err
    out = tmp_path / "out" / "frames"
    assert [read_mask(out / "masks" / f"{name}.png").shape for name in "abc"] == [(48, 64), (48, 32), (48, 64)]
    frames = [frame.image for frame in VideoFile(out / "overlay.mp4").frames()]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert frames[1][:, :12].max() < 30  # the narrow frame stands between black bars, whole
    assert frames[1][:, 20:44].mean() > 60


def test_nothing_is_replaced_but_results(predict, png: Path, picture, mask_png: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    frames = out / "frames"
    frames.mkdir(parents=True)
    Image.fromarray(picture).save(frames / "0.png")
    Image.open(mask_png).save(frames / "mask.png")
    for folder in (out / png.stem, out / "other", out / "free.partial"):
        folder.mkdir()
        (folder / "mine.txt").write_text("precious")
    job = {"input": str(png), "text": "dog"}
    prompts = tmp_path / "jobs.jsonl"
    cases = [
        ((frames, "--text", "dog"), job, "is or holds an input"),
        (
            ("--prompts", prompts),
            job | {"name": "frames", "text": [], "support": f"{png}={frames / 'mask.png'}"},
            "holds an input",
        ),
        ((png, "--text", "dog"), job, "not results of uniref"),
        (("--prompts", prompts), job | {"name": "other"}, "not results of uniref"),
        (("--prompts", prompts), job | {"name": "free"}, "free.partial: holds files that are not results of uniref"),
    ]
    before = sorted(out.rglob("*"))
    for arguments, record, message in cases:
        prompts.write_text(json.dumps(record))
        for more in ((), ("--overwrite",)):
            assert predict(*arguments, *more) == 2, (arguments, record)
            errors = capsys.readouterr().err
            assert message in errors
            assert errors.count("\n") == 1
            assert sorted(out.rglob("*")) == before


def test_a_truncated_picture_is_no_video(predict, picture, tmp_path: Path, capsys) -> None:
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save(whole)
    cut.write_bytes(whole.read_bytes()[:40_000])
    assert predict(cut, "--text", "dog") == 1
    assert "cut.jpg: damaged image" in capsys.readouterr().err


@pytest.mark.slow
def test_a_gif_without_its_end_is_told(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(8)]
    gif = tmp_path / "clip.gif"
    pages[0].save(gif, save_all=True, append_images=pages[1:])
    assert predict(gif, "--text", "dog", "--save", "masks") == 0
    assert "cut off" not in capsys.readouterr().err
    gif.write_bytes(gif.read_bytes()[: gif.stat().st_size // 2])
    assert predict(gif, "--text", "dog", "--save", "masks", "--overwrite") == 0
    assert "clip.gif: is cut off; frames at its end may be lost" in capsys.readouterr().err


def test_one_failure_does_not_stop_the_others(
    predict, make_video: MakeVideo, png: Path, tmp_path: Path, capsys
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    listing = tmp_path / "list.txt"
    listing.write_text(f"{bad}\n# a comment\n\n{png}\n")
    assert predict(make_video(frames=2), f"@{listing}", tmp_path / "none.mp4", "--text", "dog", "--json") == 1
    captured = capsys.readouterr()
    states = {Path(r["input"]).name: r["status"] for r in map(json.loads, captured.out.splitlines())}
    assert states == {"clip.mp4": "done", "bad.mp4": "failed", "picture.png": "done", "none.mp4": "failed"}
    assert "2 of 4 inputs failed" in captured.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["clip", "picture"]


def test_prompts_file_with_paths_of_its_own(
    predict, make_video: MakeVideo, mask_png: Path, png: Path, tmp_path: Path
) -> None:
    make_video(frames=4)
    jobs = [
        {"input": "clip.mp4", "text": "dog", "name": "by-text", "end": 2, "propagate": False},
        {"input": "clip.mp4", "mask": ["1:disk.png"], "start": "1", "score_threshold": 0.0},
        {"input": "picture.png", "support": ["picture.png=disk.png"]},
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    assert predict("--prompts", tmp_path / "jobs.jsonl") == 0
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == ["by-text", "clip", "picture"]
    assert read_summary(out / "by-text")["frames"]["written"] == 2
    assert read_summary(out / "clip")["frames"]["first"] == 1
    assert np.array_equal(read_mask(out / "clip" / "masks" / "00001.png"), read_mask(mask_png))


def test_a_text_from_a_frame_on(predict, make_video: MakeVideo, tmp_path: Path) -> None:
    texts = ("--text", "2:dog", "--text", "cat", "--score-threshold", 0)
    assert predict(make_video(frames=5), *texts, "--start", 1, "--save", "rle") == 0
    lines = (tmp_path / "out" / "clip" / "masks.jsonl").read_text().splitlines()
    seen = [(record["image_id"], record["text"]) for record in map(json.loads, lines)]
    assert seen == [(1, "cat"), *((frame, text) for frame in (2, 3, 4) for text in ("dog", "cat"))]
    objects = read_summary(tmp_path / "out" / "clip")["objects"]
    assert objects["1"]["first_frame"] == 2
    assert objects["1"]["frames_predicted"] == 3


def test_a_corrected_mask_changes_its_frame_and_later_ones(
    predict, make_video: MakeVideo, disk: np.ndarray, tmp_path: Path, capsys
) -> None:
    clip, folder = make_video(frames=5), tmp_path / "corrected"
    folder.mkdir()
    write_labels(folder / "00000.png", disk.astype(np.uint8))
    write_labels(folder / "00003.png", np.roll(disk, 9, 1).astype(np.uint8))
    options = ("--save", "masks", "--score-threshold", 0)
    assert predict(clip, "--mask", folder / "00000.png", *options) == 0
    once = {path.stem: read_mask(path) for path in (tmp_path / "out" / "clip" / "masks").iterdir()}
    capsys.readouterr()
    assert predict(clip, "--mask", folder, *options, "--overwrite") == 0
    assert "holds masks of 2 frames; an object starts again from each of its masks" in capsys.readouterr().err
    twice = {path.stem: read_mask(path) for path in (tmp_path / "out" / "clip" / "masks").iterdir()}
    assert [name for name in sorted(once) if not np.array_equal(once[name], twice[name])] == ["00003", "00004"]
    assert np.array_equal(twice["00003"], np.roll(disk, 9, 1))


def test_shards_do_everything_once(predict, make_video: MakeVideo, tmp_path: Path) -> None:
    clips = [make_video(f"{i}.mp4", frames=1) for i in range(3)]
    done = []
    for i in (1, 2):
        assert predict(*clips, "--text", "dog", "--shard", f"{i}/2") == 0
        done.append({p.name for p in (tmp_path / "out").iterdir()})
    assert done == [{"0", "2"}, {"0", "1", "2"}]


def test_damage_is_told_and_survived(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    cut = make_video(frames=100)
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * 0.6)])
    assert predict(cut, "--text", "dog", "--save", "masks") == 0
    summary = read_summary(tmp_path / "out" / "clip")
    lost = summary["frames"]["lost_at_end"]
    assert lost + summary["frames"]["written"] == 100
    assert f"{lost} frames at its end are lost" in capsys.readouterr().err


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_frame_and_closes_the_files(
    predict, make_video: MakeVideo, tmp_path: Path, signum: int, code: int, alone: bool, monkeypatch, capsys
) -> None:
    from uniref.inference.video import VideoTracker

    real, steps = VideoTracker.step, []

    def step(self, *rest):
        steps.append(1)
        if len(steps) == 3:
            signal.raise_signal(signum)
        return real(self, *rest)

    monkeypatch.setattr(VideoTracker, "step", step)
    clips = [make_video(frames=10)] + ([] if alone else [make_video("next.mp4", frames=2)])
    assert predict(*clips, "--text", "dog") == code
    errors = capsys.readouterr().err
    assert "run the same command again" in errors
    assert errors.count("\n") == 1
    out = tmp_path / "out"
    assert [p.name for p in out.iterdir()] == ["clip.partial"]
    assert VideoFile(out / "clip.partial" / "overlay.mp4").frame_count == 3
    monkeypatch.setattr(VideoTracker, "step", real)
    assert predict(*clips, "--text", "dog") == 0
    assert sorted(p.name for p in out.iterdir()) == ["clip"] + ([] if alone else ["next"])


@pytest.mark.slow
def test_bad_input_is_one_line_and_leaves_nothing(
    predict, make_video: MakeVideo, png: Path, mask_png: Path, tmp_path: Path, capsys, checkpoint: Path
) -> None:
    clip = make_video(frames=2)
    Image.new("L", (9, 9), 255).save(tmp_path / "small.png")
    Image.new("L", (64, 48), 0).save(tmp_path / "black.png")
    (tmp_path / "empty.mp4").write_bytes(b"")
    cases = [
        ((tmp_path / "none.mp4", "--text", "dog"), 1, "no such file"),
        ((tmp_path / "empty.mp4", "--text", "dog"), 1, "is empty"),
        ((clip, "--text", ""), 2, "is empty"),
        ((clip, "--text", "?!"), 2, "no words"),
        ((clip, "--text", "1=dog", "--mask", mask_png), 2, "already given by a mask"),
        ((clip, "--mask", tmp_path / "small.png"), 1, "small.png: is 9 x 9 pixels"),
        ((clip, "--mask", tmp_path / "black.png"), 1, "marks no pixel"),
        ((png, "--mask", mask_png), 2, "single image"),
        ((clip, "--text", "dog", "--device", "cuda:9"), 2, "cuda:9"),
        ((clip, "--text", "dog", "--start", "9"), 2, "after its end"),
    ]
    for arguments, code, message in cases:
        assert predict(*arguments) == code, arguments
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.count("\n") == 1, errors
        assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_an_unwritable_place_is_one_line(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    (tmp_path / "out").write_text("a file")
    assert predict(make_video(frames=2), "--text", "dog") == 1
    errors = capsys.readouterr().err
    assert "cannot be written" in errors
    assert errors.count("\n") == 1


def test_a_full_disk_is_one_line(predict, make_video: MakeVideo, tmp_path: Path, capsys, monkeypatch) -> None:
    import errno

    from uniref.inference import sinks

    def full(*rest: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sinks, "write_labels", full)
    assert predict(make_video(frames=6), "--text", "dog") == 1
    errors = capsys.readouterr().err
    assert "No space left on device" in errors
    assert errors.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []
    assert not any(t.name.startswith("uniref-") for t in threading.enumerate())


def test_selection_object_reads_like_the_options(make_video: MakeVideo) -> None:
    assert MediaSource(make_video(frames=4)).selected_count(Selection(None, "3", 2)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the operating system")
@pytest.mark.parametrize("save", slow_except(["npz,rle"], ["overlay,masks", "npz,rle", "webm"]))
def test_no_more_room_for_files_is_one_line(
    save: str, predict, make_video: MakeVideo, tmp_path: Path, capfd: pytest.CaptureFixture[str], mask_png: Path
) -> None:
    import resource

    clip = make_video(frames=60, size=(48, 64))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        code = predict(clip, "--mask", mask_png, "--save", save, "--score-threshold", 0, "--quiet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    gc.collect()  # nor does anything complain later
    errors = capfd.readouterr().err
    assert code == 1
    assert errors.startswith("uniref: error: ")
    assert errors.count("\n") == 1, errors
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_overwriting_keeps_what_somebody_put_there(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    clip = make_video(frames=3)
    assert predict(clip, "--text", "dog", "--save", "masks,rle") == 0
    out = tmp_path / "out" / "clip"
    notes = [out / "note.txt", out / "masks" / "note.txt", out / "masks" / "extra.png"]
    for note in notes:
        note.write_text("precious")
    (out / "masks" / "00001.png").write_bytes(b"damaged by hand")
    before = (out / "masks.jsonl").stat().st_mtime_ns
    capsys.readouterr()
    assert predict(clip, "--text", "cat", "--save", "masks", "--overwrite") == 0
    errors = capsys.readouterr().err
    assert all(note.read_text() == "precious" for note in notes)
    assert all(name in errors for name in ("note.txt", "masks/note.txt", "masks/extra.png"))
    assert not (out / "masks.jsonl").exists() or (out / "masks.jsonl").stat().st_mtime_ns != before
    assert read_mask(out / "masks" / "00001.png").shape == (48, 64)
    assert sorted(path.name for path in out.iterdir()) == ["masks", "note.txt", "summary.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip"]


@pytest.mark.slow
def test_a_result_never_takes_the_place_of_a_file(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    clip = make_video(frames=3)
    assert predict(clip, "--text", "dog", "--save", "masks") == 0
    out = tmp_path / "out" / "clip"
    (out / "overlay.mp4").write_text("precious")
    assert predict(clip, "--text", "dog", "--save", "overlay", "--overwrite") == 2
    assert "overlay.mp4: would be replaced, but uniref did not write it" in capsys.readouterr().err
    assert (out / "overlay.mp4").read_text() == "precious"
    assert len(list((out / "masks").iterdir())) == 3


@pytest.mark.slow
def test_an_interrupted_run_keeps_notes_in_its_folder(predict, make_video: MakeVideo, tmp_path: Path, capsys) -> None:
    clip = make_video(frames=3)
    assert predict(clip, "--text", "dog", "--save", "masks") == 0
    out = tmp_path / "out"
    (out / "clip").rename(out / "clip.partial")
    (out / "clip.partial" / "note.txt").write_text("precious")
    capsys.readouterr()
    assert predict(clip, "--text", "dog", "--save", "masks") == 0
    assert "clip.partial: keeps note.txt, which uniref did not write" in capsys.readouterr().err
    assert [path.name for path in (out / "clip.partial").iterdir()] == ["note.txt"]
    assert len(list((out / "clip" / "masks").iterdir())) == 3


def test_names_cannot_forge_output(predict, png: Path, tmp_path: Path, capsys) -> None:
    forged = tmp_path / "a\nuniref: error: forged\x1b[2J.png"
    png.rename(forged)
    assert predict(forged, "--text", "dog") == 0
    forged.write_bytes(b"no picture")
    assert predict(forged, "--text", "cat", "--overwrite") == 1
    said = capsys.readouterr()
    for stream in (said.out, said.err):
        assert "\x1b" not in stream
        assert not any(line.startswith("uniref: error: forged") for line in stream.splitlines())
    assert "a\\nuniref: error: forged\\x1b[2J.png" in said.err
