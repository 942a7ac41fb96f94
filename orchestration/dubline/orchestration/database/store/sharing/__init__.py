"""Long jobs that several workers render: shares, and the segments that each of them takes."""
