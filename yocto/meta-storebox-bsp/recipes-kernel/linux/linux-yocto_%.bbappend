COMPATIBLE_MACHINE:storebox-x86-64 = "^storebox-x86-64$"
