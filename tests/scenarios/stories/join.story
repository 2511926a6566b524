Steps that depend on nothing are done side by side, and one that depends on all of them waits for the last.

saga:
  flight, after nothing
  hotel, after nothing
  car, after nothing
  pay, after flight and hotel and car

given:
  flight: succeeded, takes 3s
  hotel: faulted BUSY
  car: succeeded, takes 1s

timeline:
  +0s saga started
  +0s flight begun
  +0s hotel begun
  +0s car begun
  +0s hotel faulted BUSY, again in 100ms
  +100ms hotel succeeded at attempt 2
  +1s car succeeded
  +3s flight succeeded
  +3s pay begun
  +3s pay succeeded

ends: COMPLETED
stands: flight, hotel, car, pay
sent: {do flight, do hotel, do car}, do hotel, do pay
asked:
  do pay with {"outputs":{"car":"car done","flight":"flight done","hotel":"hotel done"}}
