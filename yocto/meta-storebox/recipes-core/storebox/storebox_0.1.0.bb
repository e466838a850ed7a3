SUMMARY = "Storebox, the local store server of a shop"
DESCRIPTION = "Masterdata replica, LAN services for tills, and store-and-forward of every sale."
HOMEPAGE = "https://storebox.invalid/"
BUGTRACKER = "https://storebox.invalid/issues"
SECTION = "net"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=7f8f506414e626951578d2baa8a28a83 \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
                    "
CVE_PRODUCT = "storebox"

require ${BPN}-crates.inc

# The source is this repository: kas and a developer's local.conf point STOREBOX_SRC at it.
STOREBOX_SRC ?= "${THISDIR}/../../../.."
SRC_URI += "git://${@os.path.realpath(d.getVar('STOREBOX_SRC'))};protocol=file;branch=${STOREBOX_BRANCH}"
STOREBOX_BRANCH ?= "main"
# The commit is that of the checkout which the layer lies in.
# nooelint: oelint.vars.autorev
SRCREV ?= "${AUTOREV}"

inherit cargo cargo-update-recipe-crates systemd useradd

CARGO_BUILD_FLAGS += "--locked --package storebox --package storebox-image --bin storebox --bin storebox-image"
# A dependency takes a random number when it is compiled; with this, two builds of one source are the same.
export CONST_RANDOM_SEED = "storebox"

# The service, and what a box does about itself as root: shop's file, slots, updates.
PACKAGES =+ "${PN}-box"
SYSTEMD_PACKAGES = "${PN} ${PN}-box"
SYSTEMD_SERVICE:${PN} = "storebox.service"
SYSTEMD_SERVICE:${PN}-box = "storebox-firstboot.service storebox-announce.service storebox-good-boot.service \
                             storebox-deadline.timer storebox-update.timer"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system storebox"
USERADD_PARAM:${PN} = "--system --home-dir ${localstatedir}/lib/storebox --no-create-home --shell /sbin/nologin --gid storebox --groups dialout,lp storebox"

BOX_TREE = "${S}/image/recipe/tree"

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${sysconfdir}/storebox
    install -m 0644 ${S}/systemd/*.service ${S}/systemd/*.timer ${S}/systemd/*.target ${D}${systemd_system_unitdir}/
    install -m 0644 ${S}/appliance/server/storebox.toml ${D}${sysconfdir}/storebox/
    install -D -m 0644 ${S}/systemd/60-storebox.rules ${D}${nonarch_base_libdir}/udev/rules.d/60-storebox.rules
    install -D -m 0644 ${S}/systemd/storebox.tmpfiles ${D}${nonarch_libdir}/tmpfiles.d/storebox.conf
    install -D -m 0755 ${BOX_TREE}/usr/lib/storebox/slots ${D}${libexecdir}/storebox/slots
    for unit in storebox emergency rescue systemd-networkd systemd-timesyncd; do
        install -d ${D}${systemd_system_unitdir}/$unit.service.d
        install -m 0644 ${BOX_TREE}/usr/lib/systemd/system/$unit.service.d/*.conf ${D}${systemd_system_unitdir}/$unit.service.d/
    done
    install -D -m 0644 ${BOX_TREE}/usr/lib/systemd/network/80-storebox.network ${D}${systemd_unitdir}/network/80-storebox.network
    install -D -m 0644 ${BOX_TREE}/usr/lib/systemd/journald.conf.d/10-storebox.conf ${D}${systemd_unitdir}/journald.conf.d/10-storebox.conf
    install -D -m 0644 ${BOX_TREE}/usr/lib/systemd/system.conf.d/10-storebox.conf ${D}${systemd_unitdir}/system.conf.d/10-storebox.conf
}

CONFFILES:${PN} = "${sysconfdir}/storebox/storebox.toml"
FILES:${PN} += "${systemd_system_unitdir}/storebox-selftest.service"
# nooelint: oelint.var.filesoverride
FILES:${PN}-box = "${bindir}/storebox-image ${libexecdir}/storebox ${nonarch_libdir}/tmpfiles.d \
                   ${systemd_system_unitdir}/*.service.d ${systemd_system_unitdir}/storebox-[!s]*.* \
                   ${systemd_system_unitdir}/storebox.target ${systemd_unitdir}/network \
                   ${systemd_unitdir}/journald.conf.d ${systemd_unitdir}/system.conf.d"
RDEPENDS:${PN}-box = "${PN} rauc"
RRECOMMENDS:${PN} += "kernel-module-cdc-acm kernel-module-ftdi-sio kernel-module-pl2303 kernel-module-cp210x kernel-module-ch341 kernel-module-usblp"
