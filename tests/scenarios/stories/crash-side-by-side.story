The coordinator dies while steps are under way side by side: each is asked again, whether or not it had its
effect.

saga:
  flight, after nothing
  hotel, after nothing
  car, after nothing
  pay, after flight and hotel and car

given:
  flight: succeeded
  hotel: succeeded, takes 1s, and the coordinator dies
  car: succeeded, takes 2s

timeline:
  +0s saga started
  +0s flight begun
  +0s hotel begun
  +0s car begun
  +0s flight succeeded
  +1s saga resumed
  side by side:
    +1s hotel succeeded
    +2s car succeeded
  +2s pay begun
  +2s pay succeeded

ends: COMPLETED
stands: flight, hotel, car, pay
sent: {do flight, do hotel, do car}, {do hotel, do car}, do pay
