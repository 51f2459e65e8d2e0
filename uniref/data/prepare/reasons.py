"""What manifests call records that are left out on purpose, so that counts can be compared with the published ones."""

WITHHELD_IMAGE = "image of a RefCOCO evaluation split"
WITHHELD_REF = "object in an image of an evaluation split"
EMPTY_SENTENCE = "empty sentence"
EMPTY_REF = "object without a usable sentence"
OTHER_SIZE = "mask of another size"
EMPTY_MASK = "empty mask"
DEGENERATE = "annotation whose polygons are all degenerate"
