A condition that yields neither true nor false turns the saga back, and says which and where.

saga:
  reserve
  gift
    when: input.gift
  pay
input: {"gift": "a ribbon"}

timeline:
  saga started
  reserve begun
  reserve succeeded
  gift's when failed: expected true or false, found a text
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: An expression of step gift failed, at when: expected true or false, found a text. What was begun has been undone.
stands: nothing
sent: do reserve, undo reserve
