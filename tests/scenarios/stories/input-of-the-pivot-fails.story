If the pivot's own input cannot be made, it is not begun, and everything can still be undone.

saga:
  reserve
  pay, pivot
    input: {"cents": "input.units * 100"}
  ship, retriable
input: {"units": 9223372036854775807}

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay's input.cents failed: a number in it leaves the range of 64 bits
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: An expression of step pay failed, at input.cents: a number in it leaves the range of 64 bits. What was begun has been undone.
stands: nothing
