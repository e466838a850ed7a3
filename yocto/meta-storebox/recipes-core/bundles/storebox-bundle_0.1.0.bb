SUMMARY = "Signed update of a slot: kernel partition and root"
DESCRIPTION = "What a box installs into the slot that does not run, checked by the certificate that it carries."
HOMEPAGE = "https://storebox.invalid/"
BUGTRACKER = "https://storebox.invalid/issues"
SECTION = "bootloaders"
LICENSE = "MIT"
CVE_PRODUCT = "storebox"
# What it signs was made by others.
SRC_URI = ""

inherit bundle

RAUC_BUNDLE_COMPATIBLE = "storebox-${MACHINE}"
RAUC_BUNDLE_VERSION = "${DISTRO_VERSION}"
RAUC_BUNDLE_DESCRIPTION = "Storebox OS ${DISTRO_VERSION}"
RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_SLOTS = "kernel rootfs"
RAUC_SLOT_kernel = "storebox-slot"
RAUC_SLOT_kernel[type] = "kernel"
RAUC_SLOT_kernel[file] = "storebox-kernel.img"
RAUC_SLOT_kernel[imagetype] = "raw"
RAUC_SLOT_kernel[adaptive] = "block-hash-index"
RAUC_SLOT_rootfs = "storebox-image"
RAUC_SLOT_rootfs[fstype] = "erofs"
RAUC_SLOT_rootfs[adaptive] = "block-hash-index"
# Small outer blocks: a box fetches only what changed.
BUNDLE_ARGS += '--mksquashfs-args="-b 16384"'

# Keys stay outside: local.conf names them.
STOREBOX_SIGNING_KEY ?= "release.key.pem"
STOREBOX_SIGNING_CERT ?= "release.cert.pem"
RAUC_KEY_FILE = "${STOREBOX_SIGNING_KEY}"
RAUC_CERT_FILE = "${STOREBOX_SIGNING_CERT}"
