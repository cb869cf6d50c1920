"""Overall accuracies on ModelNet40 as their authors report them; none was measured here."""

#: Trained with all labels.
CLASSIFIED = (
    ("PointNet", "89.2", "Qi et al., CVPR 2017"),
    ("PointNet, modern recipe", "90.7", "later reproductions"),
    ("PointNet++", "90.7 to 93.0", "Qi et al., NeurIPS 2017; later reproductions"),
    ("DGCNN", "92.9", "Wang et al., TOG 2019"),
    ("CurveNet", "93.8", "Xiang et al., ICCV 2021"),
)
#: Pretrained without labels, then a linear SVM.
PROBED = (
    ("CrossPoint, DGCNN", "91.2", "Afham et al., CVPR 2022"),
    ("I2P-MAE", "93.4", "Zhang et al., CVPR 2023"),
    ("Point-JEPA", "93.7", "Saito et al., WACV 2025"),
)
