"""Recipe of the open head `mfnet/flame/makehuman.npz` from MakeHuman's CC0 data; the package never imports it."""
