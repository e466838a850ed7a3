SUMMARY = "Storebox read-only root file system"
LICENSE = "MIT"

inherit core-image

IMAGE_FEATURES += "read-only-rootfs"
IMAGE_FEATURES:remove = "package-management"
IMAGE_INSTALL = "packagegroup-core-boot storebox systemd-conf"
IMAGE_LINGUAS = ""
IMAGE_FSTYPES = "erofs"
# Fail the build, not the store, when a root slot of 320 MiB is too small (KiB).
IMAGE_ROOTFS_MAXSIZE = "327680"
