"""One GPU, its networks in memory, one job at a time; and the CPU prober that looks at uploads."""
