FILESEXTRAPATHS:prepend:storeboxos := "${THISDIR}/files:"

# The certificate that updates are checked with: a chain puts its own here, by RAUC_KEYRING_URI or a layer of its own.
do_install:append:storeboxos() {
    sed -i "s/@compatible@/storebox-${MACHINE}/" ${D}${nonarch_libdir}/rauc/system.conf
}
