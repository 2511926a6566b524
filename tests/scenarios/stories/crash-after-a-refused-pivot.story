The refusal of a pivot that nobody heard is repeated to the next coordinator: the saga turns back, and bars
the pivot first.

saga:
  reserve
  pay, pivot
  ship, retriable

given:
  pay: refused CARD_DECLINED, and the coordinator dies
  pay: refused CARD_DECLINED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  saga resumed
  pay refused CARD_DECLINED
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was refused: CARD_DECLINED: the business says no. What was begun has been undone.
stands: nothing
