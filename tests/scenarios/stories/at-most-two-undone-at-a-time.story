The limit holds for undos, too, and the last steps come first.

saga: maxParallel 2
  flight, after nothing
  hotel, after nothing
  car, after nothing
  pay, after flight and hotel and car

given:
  pay: status UNIMPLEMENTED
  undo car: succeeded, takes 1s
  undo hotel: succeeded, takes 2s
  undo flight: succeeded, takes 2s

timeline:
  +0s saga started
  side by side:
    +0s flight begun; +0s flight succeeded
    +0s hotel begun; +0s hotel succeeded
    +0s car begun; +0s car succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo car begun
  +0s undo hotel begun
  +1s car undone
  +1s undo flight begun
  +2s hotel undone
  +3s flight undone

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
