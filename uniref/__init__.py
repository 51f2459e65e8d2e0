"""UniRef++: segment the object you refer to by text, by a mask, or by example images."""
