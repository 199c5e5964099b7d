"""MFNet: encoder, view fusion, regressors, pre-trained weights, and the projection of its heads into the views."""
