"""What is known of every data set: names, published counts, where it comes from, under which terms.

Counts are those that could be checked against the publishers' files; what is unknown is not checked.
"""

from __future__ import annotations

from collections.abc import Mapping

from uniref.core.tasks import Task
from uniref.data.prepare.dataset import DataSet, PublishedCounts, RemoteFile

_COCO = "http://images.cocodataset.org"
_TRAIN2014 = RemoteFile(
    f"{_COCO}/zips/train2014.zip",
    md5="0da8c0bd3d6becc4dcb32757491aca88",
    instead=("train2014", "train2017"),  # the same pictures
)
_REFER = "https://bvisionweb1.cs.unc.edu/licheng/referit/data"
_DAVIS = "https://data.vision.ee.ethz.ch/csergi/share/davis"
_O365 = "https://dorc.ks3-cn-beijing.ksyun.com/data-set/2020Objects365%E6%95%B0%E6%8D%AE%E9%9B%86"
_MOSE = "https://huggingface.co/datasets/FudanCVL/MOSE/resolve/main"


def _refer(name: str, stamp: str, size: int, digest: str) -> RemoteFile:
    url = f"https://web.archive.org/web/{stamp}id_/{_REFER}/{name}.zip"
    return RemoteFile(url, size=size, sha256=(digest,), instead=(f"{name}/instances.json",))


_REFCOCO = _refer(
    "refcoco", "20220413011718", 53_993_993, "7f924bb7ed8dc4568058e4ff626281918d56e5206f4c868c5a80f088f38c8bf0"
)
_REFCOCO_PLUS = _refer(
    "refcoco+", "20220413011656", 45_613_210, "5f1238112d63199e68da54a28f201471909b21ded7ed79a57d51b4c1443c6b45"
)
_REFCOCOG = _refer(
    "refcocog", "20220413012904", 56_712_951, "3d1f7e5b2ff2205940bf59de55f861f5f2cc1403fb980669933a7f9af1aa8211"
)
_REFER_FOLDERS = ("refcoco", "refcoco+", "refcocog", "refer", "coco2014", "coco")
_COCO_TERMS = "COCO terms of use; Flickr terms for the images"
_RESEARCH = "research use; terms on its site"

_SYNTHETIC = ("train", "val", "test", "seen", "novel", "pairs", "wording")
"""Sets of scenes; the last four each ask one question (docs/synthetic-data.md)."""
_NAMED = (*_SYNTHETIC, "backgrounds", "style", "photo")

_SCENES = ("images", "clips", "frames", "size", "seed")

_ALL = (
    DataSet(
        "coco",
        "COCO 2017 instances",
        Task.DETECTION,
        {"train": PublishedCounts(listed=(118_287,)), "val": PublishedCounts(listed=(5_000,))},
        "coco",
        "coco",
        "19 GB",
        _COCO_TERMS,
        "https://cocodataset.org",
        "train2017.zip, val2017.zip and annotations_trainval2017.zip",
        (
            RemoteFile(
                f"{_COCO}/zips/train2017.zip",
                md5="cced6f7f71b7629ddf16f17bbcfab6b2",
                splits=("train",),
                instead=("train2017",),
            ),
            RemoteFile(
                f"{_COCO}/zips/val2017.zip",
                md5="442b8da7639aecaf257c1dceb8ba8c80",
                splits=("val",),
                instead=("val2017",),
            ),
            RemoteFile(
                f"{_COCO}/annotations/annotations_trainval2017.zip",
                md5="f4bbac642086de4f52a3fdda2de5fa2c",
                instead=("annotations/instances_train2017.json",),
            ),
        ),
        ("clean",),
    ),
    DataSet(
        "objects365",
        "Objects365 v2 boxes",
        Task.DETECTION,
        {"train": PublishedCounts(listed=(1_742_289, 1_817_287)), "val": PublishedCounts(listed=(80_000, 5_000))},
        "objects365",
        "objects365",
        "345 GB",
        _RESEARCH,
        "https://www.objects365.org",
        "the patchN.tar.gz archives and zhiyuan_objv2_{train,val}.json, or the re-split "
        "zhiyuan_objv2_{train,val}_new.json",
        (
            RemoteFile(f"{_O365}/train/zhiyuan_objv2_train.tar.gz", splits=("train",), folder="annotations"),
            RemoteFile(f"{_O365}/val/zhiyuan_objv2_val.json", splits=("val",), folder="annotations"),
            # both splits have a patch0 and so on
            *(RemoteFile(f"{_O365}/train/patch{n}.tar.gz", splits=("train",), folder="train") for n in range(51)),
            *(RemoteFile(f"{_O365}/val/images/v1/patch{n}.tar.gz", splits=("val",), folder="val") for n in range(16)),
            *(
                RemoteFile(f"{_O365}/val/images/v2/patch{n}.tar.gz", splits=("val",), folder="val")
                for n in range(16, 44)
            ),
        ),
        folders=("objects365v2", "o365"),
    ),
    DataSet(
        "refcoco",
        "RefCOCO (unc)",
        Task.RIS,
        {
            "train": PublishedCounts(16_994, 42_404, 120_624, 42_404),
            "val": PublishedCounts(1_500, 3_811, 10_834, 10_834),
            "testA": PublishedCounts(750, 1_975, 5_657, 5_657),
            "testB": PublishedCounts(750, 1_810, 5_095, 5_095),
        },
        "refcoco",
        "refcoco",
        "54 MB + COCO train2014 (13 GB)",
        _COCO_TERMS,
        "https://github.com/lichengunc/refer",
        "refcoco.zip (refs(unc).p and instances.json), or instances_{split}.json, and COCO's train2014 or train2017",
        (_REFCOCO, _TRAIN2014),
        folders=_REFER_FOLDERS,
    ),
    DataSet(
        "refcoco+",
        "RefCOCO+ (unc)",
        Task.RIS,
        {
            "train": PublishedCounts(16_992, 42_278, 120_191, 42_278),
            "val": PublishedCounts(1_500, 3_805, 10_758, 10_758),
            "testA": PublishedCounts(750, 1_975, 5_726, 5_726),
            "testB": PublishedCounts(750, 1_798, 4_889, 4_889),
        },
        "refcoco",
        "refcoco",
        "46 MB + COCO train2014 (13 GB)",
        _COCO_TERMS,
        "https://github.com/lichengunc/refer",
        "refcoco+.zip (refs(unc).p and instances.json), or instances_{split}.json, and COCO's train2014 or train2017",
        (_REFCOCO_PLUS, _TRAIN2014),
        folders=_REFER_FOLDERS,
    ),
    DataSet(
        "refcocog",
        "RefCOCOg (umd)",
        Task.RIS,
        {
            "train": PublishedCounts(21_899, 42_226, 80_512, 42_226),
            "val": PublishedCounts(1_300, 2_573, 4_896, 4_896),
            "test": PublishedCounts(2_600, 5_023, 9_602, 9_602),
        },
        "refcoco",
        "refcoco",
        "57 MB + COCO train2014 (13 GB)",
        _COCO_TERMS,
        "https://github.com/lichengunc/refer",
        "refcocog.zip (refs(umd).p and instances.json), or instances_{split}.json, and COCO's train2014 or train2017",
        (_REFCOCOG, _TRAIN2014),
        folders=_REFER_FOLDERS,
    ),
    DataSet(
        "refcoco-mixed",
        "Training union of RefCOCO, RefCOCOg and RefCOCO+",
        Task.RIS,
        {"train": PublishedCounts(None, None, 321_327, 126_908)},
        "refcoco",
        "refcoco",
        "156 MB + COCO train2014 (13 GB)",
        _COCO_TERMS,
        "https://github.com/lichengunc/refer",
        "refcoco.zip, refcoco+.zip and refcocog.zip, or instances_train.json, and COCO's train2014 or train2017",
        (_REFCOCO, _REFCOCO_PLUS, _REFCOCOG, _TRAIN2014),
        ("clean",),
        folders=_REFER_FOLDERS,
    ),
    DataSet(
        "fss-1000",
        "FSS-1000",
        Task.FSS,
        {
            "train": PublishedCounts(5_200, samples=5_200),
            "val": PublishedCounts(2_400, samples=2_400),
            "test": PublishedCounts(2_400, samples=2_400),
        },
        "fss1000",
        "fss1000",
        "about 0.7 GB",
        _RESEARCH,
        "https://github.com/HKUSTCV/FSS-1000",
        "fewshot_data.zip, and the class lists trn.txt, val.txt and test.txt for --splits",
        (),
        ("splits", "compat"),
        folders=("fss-1000", "fewshot_data"),
    ),
    DataSet(
        "ref-youtube-vos",
        "Ref-YouTube-VOS",
        Task.RVOS,
        {"train": PublishedCounts(3_471, 6_388, 12_913, 6_388), "val": PublishedCounts(202)},
        "ref_youtube_vos",
        "youtube-vos-2019",
        "about 11 GB",
        _RESEARCH,
        "https://youtube-vos.org/dataset/rvos/",
        "train.zip, valid.zip and the meta_expressions folder (frames are shared with youtube-vos-2019)",
        folders=("ref-youtube-vos", "refytvos", "rvos", "ytbvos19", "youtube2019", "youtube-vos"),
    ),
    DataSet(
        "ref-davis17",
        "Ref-DAVIS17",
        Task.RVOS,
        {"val": PublishedCounts(30, None, 244, 120, frames=1_999)},
        "ref_davis17",
        "davis",
        "about 1 GB",
        _RESEARCH,
        "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/"
        "video-segmentation/video-object-segmentation-with-language-referring-expressions",
        "DAVIS-2017-Unsupervised-trainval-480p.zip and davis_text_annotations.zip",
        (
            RemoteFile(f"{_DAVIS}/DAVIS-2017-Unsupervised-trainval-480p.zip"),
            RemoteFile("https://www.mpi-inf.mpg.de/fileadmin/inf/d2/khoreva/davis_text_annotations.zip"),
        ),
        folders=("ref-davis", "ref-davis17", "refdavis"),
    ),
    DataSet(
        "youtube-vos-2018",
        "YouTube-VOS 2018",
        Task.VOS,
        {"train": PublishedCounts(3_471, 5_945), "val": PublishedCounts(474, 894)},
        "youtube_vos",
        "youtube-vos-2018",
        "about 9 GB",
        _RESEARCH,
        "https://youtube-vos.org",
        "train.zip and valid.zip",
        folders=("ytbvos18", "youtube2018"),
    ),
    DataSet(
        "youtube-vos-2019",
        "YouTube-VOS 2019",
        Task.VOS,
        {"train": PublishedCounts(3_471, 6_459), "val": PublishedCounts(507, 1_063)},
        "youtube_vos",
        "youtube-vos-2019",
        "about 10 GB",
        _RESEARCH,
        "https://youtube-vos.org",
        "train.zip and valid.zip",
        folders=("ytbvos19", "youtube2019", "youtube-vos", "ref-youtube-vos"),
    ),
    DataSet(
        "davis17",
        "DAVIS 2017",
        Task.VOS,
        {
            "train": PublishedCounts(60, 144, frames=4_209),
            "val": PublishedCounts(30, 61, frames=1_999),
            "test-dev": PublishedCounts(30, 89, frames=2_086),
        },
        "davis17",
        "davis",
        "0.8 GB",
        _RESEARCH,
        "https://davischallenge.org",
        "DAVIS-2017-trainval-480p.zip (DAVIS-2017-test-dev-480p.zip for test-dev)",
        (
            RemoteFile(f"{_DAVIS}/DAVIS-2017-trainval-480p.zip", splits=("train", "val")),
            RemoteFile(f"{_DAVIS}/DAVIS-2017-test-dev-480p.zip", splits=("test-dev",)),
        ),
        folders=("davis17", "davis2017"),
    ),
    DataSet(
        "lvos",
        "LVOS v1",
        Task.VOS,
        {"train": PublishedCounts(120), "val": PublishedCounts(50), "test": PublishedCounts(50)},
        "lvos",
        "lvos",
        "not published",
        _RESEARCH,
        "https://lingyihongfd.github.io/lvos.github.io/",
        "the v1 archives of train, val and test, and their <split>_meta.json",
    ),
    DataSet(
        "mose",
        "MOSE v1",
        Task.VOS,
        {"train": PublishedCounts(1_507), "val": PublishedCounts()},
        "mose",
        "mose",
        "24 GB",
        "CC BY-NC-SA 4.0",
        "https://henghuiding.com/MOSE/",
        "train.tar.gz and valid.tar.gz",
        (
            RemoteFile(
                f"{_MOSE}/train.tar.gz",
                sha256=(
                    "3f805e66ecb576fdd37a1ab2b06b08a428edd71994920443f70d09537918270b",
                    "8bcb6081699ee273b7983dbe8204daf6045077fe0f356d49f6f365c2b3328bdb",
                ),
                splits=("train",),
                editions=("the release of 2023-11-23", "the first release, replaced on 2023-11-23"),
            ),
            RemoteFile(
                f"{_MOSE}/valid.tar.gz",
                sha256=("884baecf7d7e85cd35486e45d6c474dc34352a227ac75c49f6d5e4afb61b331c",),
                splits=("val",),
            ),
        ),
    ),
    DataSet(
        "ovis",
        "OVIS",
        Task.VOS,
        {"train": PublishedCounts(607)},
        "ovis",
        "ovis",
        "8 GB",
        _RESEARCH,
        "https://songbai.site/ovis/",
        "the train frames and annotations_train.json",
    ),
    DataSet(
        "mevis",
        "MeViS v1",
        Task.RVOS,
        {
            "train": PublishedCounts(1_662, None, 23_051, 23_051),
            "valid_u": PublishedCounts(50, None, 793, 793),
            "val": PublishedCounts(140, None, 2_236, 2_236),
        },
        "mevis",
        "mevis",
        "not published",
        "CC BY-NC-SA 4.0",
        "https://henghuiding.com/MeViS/",
        "the train, valid_u and valid folders with JPEGImages, meta_expressions.json and mask_dict.json",
    ),
    DataSet(
        "custom",
        "Your own pictures or clips",
        Task.RIS,
        {"train": PublishedCounts(), "val": PublishedCounts(), "test": PublishedCounts()},
        "custom",
        "custom",
        "yours",
        "yours",
        "docs/custom-data.md",
        "pictures or clips in one of the forms that docs/custom-data.md lists",
        (),
        ("name", "task"),
    ),
    DataSet(
        "synthetic",
        "Drawn scenes with expressions, for every task",
        Task.RIS,
        {f"{name}-{task.value}": PublishedCounts() for name in _SYNTHETIC for task in Task},
        "synthetic",
        "",
        "about 30 MB a thousand pictures",
        "made by this package: Apache-2.0",
        "docs/synthetic-data.md",
        "nothing",
        (),
        _SCENES,
        tuple(f"{name}-{task.value}" for name in _SYNTHETIC[:3] for task in Task),
    ),
    DataSet(
        "synthetic-named",
        "Scenes of named emoji and drawn objects before photographs and drawn backgrounds, for every task",
        Task.RIS,
        {f"{name}-{task.value}": PublishedCounts() for name in _NAMED for task in Task},
        "synthetic_named",
        "synthetic-named",
        "about 30 MB a thousand pictures; sources 23 MB, with photographs 50 MB",
        "MIT (Fluent Emoji, emojibase); photographs as docs/synthetic-data.md lists",
        "docs/synthetic-data.md",
        "the archives that `npm pack @lobehub/fluent-emoji-3d@1.1.0 emojibase-data@17.0.0` fetches",
        (),
        _SCENES,
        tuple(f"{name}-{task.value}" for name in _SYNTHETIC[:3] for task in Task),
    ),
)

CATALOG: Mapping[str, DataSet] = {entry.name: entry for entry in _ALL}
"""Every data set by its name on the command line."""


def other_folders(dataset: str) -> frozenset[str]:
    """Names (lower case) of folders that hold other data sets than this one."""
    if dataset == "custom":
        return frozenset()  # its folders are called anything
    own = {CATALOG[dataset].group, *CATALOG[dataset].folders}
    names = {name for entry in _ALL if entry.name != "custom" for name in (entry.group, *entry.folders) if name}
    return frozenset(names - own)
