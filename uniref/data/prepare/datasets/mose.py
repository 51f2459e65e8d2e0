"""MOSE v1: `{train,valid}/{JPEGImages,Annotations}/<video>/%05d.{jpg,png}`; `valid` has the first frame's masks."""

from __future__ import annotations

from uniref.data.prepare import youtube_vis_json
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import VideoFiles, add_labelled_video, add_track, read_labelled_videos


def prepare(job: ConversionJob) -> None:
    """One sample a video. Four training videos of a single frame are kept and make no pairs."""
    train = job.split == "train"
    if (
        official := youtube_vis_json.find(
            job, ["train/Annotations"] if train else ["valid/Annotations", "val/Annotations"]
        )
    ) is not None:
        youtube_vis_json.prepare_videos(job, official, complete=train)
        return
    base = job.need("train/JPEGImages" if train else "valid/JPEGImages", *(() if train else ("val/JPEGImages",))).parent
    names = sorted(x.name for x in (base / "JPEGImages").iterdir() if x.is_dir())
    files = [VideoFiles(name, base / "JPEGImages" / name, base / "Annotations" / name) for name in names]
    single = 0
    with job.writer({"mose": base}) as writer:
        for clip in read_labelled_videos(job, files, every_frame=train):
            if not train and clip.labelled != (0,):
                job.bad(job.video(clip.name), "must have one label map, for its first frame")
                continue
            single += len(clip.frames) == 1
            add_labelled_video(writer, clip, "mose", f"JPEGImages/{clip.name}", complete=train)
            given = -1 if train else 0
            writer.add_sample(objects=[add_track(writer, n, track, given=given) for n, track in clip.tracks.items()])
        if single:
            writer.notes.append(f"{single} videos of one frame (no pair of frames can be drawn from them)")
