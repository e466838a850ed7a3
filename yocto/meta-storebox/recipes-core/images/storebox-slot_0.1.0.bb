SUMMARY = "What GRUB reads: boot volume, kernel partition, volume of the shop's file"
DESCRIPTION = "The boot volume holds the script that counts tries and chooses a slot; it is never updated in the field."
HOMEPAGE = "https://storebox.invalid/"
BUGTRACKER = "https://storebox.invalid/issues"
SECTION = "bootloaders"
LICENSE = "MIT"
# nooelint: oelint.var.licenseremotefile
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"
CVE_PRODUCT = "storebox"
DEPENDS = "dosfstools-native grub-efi grub-native mtools-native squashfs-tools-native"
# The script of the boot loader is the repository's.
SRC_URI = ""

S = "${UNPACKDIR}"
COMPATIBLE_HOST = "x86_64.*-linux"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
do_deploy[depends] += "virtual/kernel:do_deploy"

inherit nopackages deploy

STOREBOX_SRC ?= "${THISDIR}/../../../.."
GRUB_SCRIPT = "${STOREBOX_SRC}/image/grub/grub.cfg"
do_deploy[file-checksums] += "${GRUB_SCRIPT}:True"
GRUB_MODULES = "part_gpt fat squash4 loadenv search search_fs_file configfile regexp test echo linux normal minicmd reboot sleep serial terminal efi_gop gzio"
SLOT_CMDLINE ?= "rootfstype=erofs ro rootwait console=ttyS0,115200 console=tty0 quiet systemd.show_status=no panic=10 oops=panic systemd.gpt_auto=no"

do_configure[noexec] = "1"

do_compile() {
    printf 'search --no-floppy --set=root --file /grub/storebox.id\nset prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n' > ${B}/early.cfg
    grub-mkimage -O x86_64-efi -p /grub -c ${B}/early.cfg -d ${STAGING_DIR_TARGET}${libdir}/grub/x86_64-efi -o ${B}/grub.efi ${GRUB_MODULES}
    rm -f ${B}/grubenv
    grub-editenv ${B}/grubenv create
    grub-editenv ${B}/grubenv set "ORDER=A B" A_OK=1 B_OK=0 A_TRY=0 B_TRY=0 A_CONFIRMED=0 B_CONFIRMED=0
    echo storebox > ${B}/storebox.id
    rm -f ${B}/storebox-esp.img ${B}/storebox-config.img
    mkfs.vfat -F 32 -n STOREBOX -C ${B}/storebox-esp.img 65536
    mmd -i ${B}/storebox-esp.img ::EFI ::EFI/BOOT ::grub
    mcopy -i ${B}/storebox-esp.img ${B}/grub.efi ::EFI/BOOT/BOOTX64.EFI
    mcopy -i ${B}/storebox-esp.img ${GRUB_SCRIPT} ${B}/grubenv ${B}/storebox.id ::grub/
    mkfs.vfat -F 16 -n SBXCONFIG -C ${B}/storebox-config.img 40960
}

do_deploy() {
    rm -rf ${B}/slot ${B}/storebox-kernel.img
    install -D -m 0644 ${DEPLOY_DIR_IMAGE}/${KERNEL_IMAGETYPE} ${B}/slot/vmlinuz
    echo 'set STOREBOX_CMDLINE="${SLOT_CMDLINE}"' > ${B}/slot/slot.cfg
    mksquashfs ${B}/slot ${B}/storebox-kernel.img -noI -noD -noF -noX -all-root -quiet -no-progress
    install -m 0644 ${B}/storebox-esp.img ${B}/storebox-kernel.img ${B}/storebox-config.img ${DEPLOYDIR}/
}
addtask deploy after do_compile before do_build
