"""For each line of standard input writes as many lines as it says, 64 in a call: `order NNNNNN`, numbered from 0 on."""
import os
import sys

number = 0
for order in sys.stdin:
    left = int(order)
    while left:
        some = min(left, 64)
        os.write(1, b"".join(b"order %06d\n" % (number + n) for n in range(some)))
        number += some
        left -= some
