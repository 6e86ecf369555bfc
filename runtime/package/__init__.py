"""Code packages: zips of functions, made, checked and unpacked. Blocking and pure over paths."""
