"""The GPU worker, which renders one job at a time, and the CPU prober, which checks uploads."""
