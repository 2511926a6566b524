A person cancels a saga that runs: it turns back as if its caller had done so, and the reason stands in its
message.

saga:
  reserve
  pay

given:
  pay: pending, ask again in 1h

meanwhile:
  pay pending, asked again in 1h -> operator CANCEL

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay pending, asked again in 1h
  operator CANCEL
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: Cancelled (she knows). What was begun has been undone.
stands: nothing
