"""The example services, of a shop and of a travel agency: business code only, on real state."""

from participants.base import Participant
from participants.services.bookings import CarService, FlightService, HotelService
from participants.services.inventory import InventoryService
from participants.services.notification import NotificationService
from participants.services.orders import OrderService
from participants.services.payment import PaymentService
from participants.services.shipping import ShippingService
from participants.services.tickets import TicketService

EXAMPLES: dict[str, type[Participant]] = {
    service.name: service
    for service in (
        OrderService,
        InventoryService,
        PaymentService,
        ShippingService,
        NotificationService,
        FlightService,
        HotelService,
        CarService,
        TicketService,
    )
}
