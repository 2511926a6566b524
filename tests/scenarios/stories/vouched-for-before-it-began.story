A person vouches for a step that waits for its turn; if the saga turns back, its undo is given what the step
would have been.

saga: maxParallel 1
  flight, after nothing
  hotel, after nothing
    input: {"nights": "input.nights"}
  pay, after flight and hotel
input: {"nights": 3}

given:
  flight: succeeded, takes 2s
  pay: status UNIMPLEMENTED

meanwhile:
  flight begun -> operator COMPLETE hotel with {"booking": 7}

timeline:
  +0s saga started
  +0s flight begun
  +0s operator COMPLETE hotel with {"booking":7}
  +2s flight succeeded
  +2s pay begun
  +2s pay faulted PERMANENT UNIMPLEMENTED, for good
  +2s undo pay begun, no receipt
  +2s pay undone
  +2s undo hotel begun with {"nights":3}
  +2s hotel undone
  +2s undo flight begun
  +2s flight undone

ends: COMPENSATED, forced
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do flight, do pay, undo pay, undo hotel, undo flight
asked:
  undo hotel with {"nights":3}, receipt {"booking":7}
