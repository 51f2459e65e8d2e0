"""DAVIS 2017: `DAVIS/{JPEGImages,Annotations}/480p/<sequence>/%05d.{jpg,png}`, `DAVIS/ImageSets/2017/<split>.txt`."""

from __future__ import annotations

from pathlib import Path

from uniref.data.prepare import youtube_vis_json
from uniref.data.prepare.job import ConversionJob
from uniref.data.prepare.videos import VideoFiles, add_labelled_video, add_track, read_labelled_videos


def prepare(job: ConversionJob) -> None:
    """One sample a sequence. Objects are given in the first frame; test-dev has masks only there."""
    lists = [f"{place}ImageSets/2017/{job.split}.txt" for place in ("", "DAVIS/")]
    if (official := youtube_vis_json.find(job, lists, prefix="davis2017_")) is not None:
        youtube_vis_json.prepare_videos(job, official, complete=job.split == "train")
        return
    list_file = job.need(*lists)
    root = list_file.parents[2]
    names = job.read_lines(list_file)
    labels = root / "Annotations/480p"
    hidden = job.split == "test-dev"
    files = [VideoFiles(name, root / "JPEGImages/480p" / name, labels / name) for name in names]
    with job.writer({"davis": root}) as writer:
        for clip in read_labelled_videos(job, files, every_frame=not hidden):
            if not any(0 in track for track in clip.tracks.values()):
                job.bad(Path("Annotations/480p") / clip.name, "its first label map shows no object")
                continue
            add_labelled_video(writer, clip, "davis", f"JPEGImages/480p/{clip.name}", complete=not hidden)
            tracks = {n: t for n, t in clip.tracks.items() if 0 in t}
            if late := sorted(set(clip.tracks) - set(tracks)):
                writer.drop("object not in the first frame", len(late))
            rows = [add_track(writer, number, track, given=0) for number, track in tracks.items()]
            writer.add_sample(objects=rows)
