"""Random people in pictures: subjects, skins, lights, the training sampler, flow pairs."""
