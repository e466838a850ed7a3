SUMMARY = "Storebox, the local store server of a shop"
DESCRIPTION = "Masterdata replica, LAN services for tills, and store-and-forward of every sale."
HOMEPAGE = "https://storebox.invalid/"
SECTION = "net"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=7f8f506414e626951578d2baa8a28a83 \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
                    "

require ${BPN}-crates.inc

# The source is this repository: kas and a developer's local.conf point STOREBOX_SRC at it.
STOREBOX_SRC ?= "${THISDIR}/../../../.."
SRC_URI += "git://${@os.path.realpath(d.getVar('STOREBOX_SRC'))};protocol=file;branch=${STOREBOX_BRANCH}"
STOREBOX_BRANCH ?= "main"
SRCREV ?= "${AUTOREV}"

inherit cargo cargo-update-recipe-crates systemd useradd

CARGO_BUILD_FLAGS += "--locked --package storebox"
# A dependency takes a random number when it is compiled; with this, two builds of one source are the same.
export CONST_RANDOM_SEED = "storebox"

SYSTEMD_SERVICE:${PN} = "storebox.service"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system storebox"
USERADD_PARAM:${PN} = "--system --home-dir /var/lib/storebox --no-create-home --shell /sbin/nologin --gid storebox --groups dialout,lp storebox"

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${sysconfdir}/storebox
    install -m 0644 ${S}/systemd/storebox.service ${D}${systemd_system_unitdir}/
    install -m 0644 ${S}/appliance/server/storebox.toml ${D}${sysconfdir}/storebox/
}

CONFFILES:${PN} = "${sysconfdir}/storebox/storebox.toml"
RRECOMMENDS:${PN} += "kernel-module-cdc-acm kernel-module-ftdi-sio kernel-module-pl2303 kernel-module-cp210x kernel-module-ch341 kernel-module-usblp"
