If the very first step is refused, nothing has to be undone.

saga:
  reserve
  pay

given:
  reserve: refused SOLD_OUT

timeline:
  saga started
  reserve begun
  reserve refused SOLD_OUT

ends: COMPENSATED
error: reserve at ReserveService was refused: SOLD_OUT: the business says no. Nothing had to be undone.
stands: nothing
sent: do reserve

after a crash at reserve begun:
  reserve refused SOLD_OUT
  undo reserve begun, no receipt
  reserve undone
  error: reserve at ReserveService was refused: SOLD_OUT: the business says no. What was begun has been undone.
