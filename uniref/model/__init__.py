"""The networks of UniRef++ and UniFusion in SAM, part by part: the equations and nothing else."""
