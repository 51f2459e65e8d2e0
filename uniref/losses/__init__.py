"""Target assignment and losses of UniRef++: tensors in, tensors out."""
