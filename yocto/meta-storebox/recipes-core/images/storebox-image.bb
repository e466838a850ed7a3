SUMMARY = "Storebox read-only root file system, and the disk around it"
DESCRIPTION = "The service, what a box does about itself, and nothing that a shop never needs."
BUGTRACKER = "https://storebox.invalid/issues"
SECTION = "images"
LICENSE = "MIT"
CVE_PRODUCT = "storebox"

inherit core-image

IMAGE_FEATURES += "read-only-rootfs"
IMAGE_FEATURES:remove = "package-management"
IMAGE_INSTALL = "packagegroup-core-boot storebox storebox-box rauc systemd-conf e2fsprogs-resize2fs ca-certificates"
IMAGE_LINGUAS = ""
IMAGE_FSTYPES = "erofs"
# The disk around it, on machines that start by UEFI.
IMAGE_FSTYPES:append:storebox-x86-64 = " wic.zst wic.bmap"
WKS_FILE:storebox-x86-64 = "storebox-x86-64.wks.in"
# The suffix is a type of image.
# nooelint: oelint.vars.specific,oelint.vars.mispell
IMAGE_TYPEDEP:wic = "erofs"
SLOT_DEPENDS = ""
SLOT_DEPENDS:storebox-x86-64 = "storebox-slot:do_deploy"
# The task comes with the class.
# nooelint: oelint.vars.mispell.unknown
do_image_wic[depends] += "${SLOT_DEPENDS}"
# Fail the build, not the store, when a root slot of 512 MiB is too small (KiB).
IMAGE_ROOTFS_MAXSIZE = "524288"
