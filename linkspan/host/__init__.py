"""Everything outside the process: kernel, files, programs. Only what is below here touches them."""
