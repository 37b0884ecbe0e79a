"""The method ``pca``: principal components of activation differences."""
