FILESEXTRAPATHS:prepend:storeboxos := "${THISDIR}/files:"
SRC_URI:append:storeboxos = " file://storebox.cfg"
COMPATIBLE_MACHINE:storebox-x86-64 = "^storebox-x86-64$"
