A saga without a pivot whose output cannot be made is undone: its caller would get nothing for what was done.

saga:
  reserve
  pay
yields: {"ref": "outputs.reserve.ref"}

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay succeeded
  output.ref failed: expected outputs.reserve to be an object, found a text
  undo pay begun
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: An expression of the saga failed, at output.ref: expected outputs.reserve to be an object, found a text. What was begun has been undone.
stands: nothing
