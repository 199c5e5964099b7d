"""The virtual capture: subjects, skins, lights, camera rig, training sampler, and writers for each archive's layout."""
