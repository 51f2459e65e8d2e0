"""The UniRef++ network, part by part as in SPEC sections 3 to 6; `uniref.model.uniref.UniRef` joins them."""
