//! What stands on bills and expense claims.

/// What vendors sell and employees claim: its name, what stands on the lines, and the usual price
/// of a unit in euro cents.
pub(super) struct Category {
    pub name: &'static str,
    pub items: &'static [&'static str],
    pub unit_cents: f64,
    /// sold by the hour or half hour
    pub hourly: bool,
}

/// What vendors sell.
pub(super) const CATEGORIES: [Category; 8] = [
    Category {
        name: "office_supplies",
        items: &["copy paper, box of five", "toner, black", "desk organiser", "whiteboard pens"],
        unit_cents: 1_800.0,
        hourly: false,
    },
    Category {
        name: "software",
        items: &["seat licence, monthly", "storage add-on", "priority support", "set-up fee"],
        unit_cents: 4_500.0,
        hourly: false,
    },
    Category {
        name: "consulting",
        items: &["analysis and workshop", "implementation", "project lead", "travel time"],
        unit_cents: 11_000.0,
        hourly: true,
    },
    Category {
        name: "facilities",
        items: &["office cleaning", "window cleaning", "repair of doors", "waste collection"],
        unit_cents: 4_200.0,
        hourly: true,
    },
    Category {
        name: "marketing",
        items: &["flyers, per hundred", "banner placement", "photo shooting", "trade fair stand"],
        unit_cents: 9_000.0,
        hourly: false,
    },
    Category {
        name: "hardware",
        items: &["laptop stand", "monitor, 27 inch", "docking station", "headset"],
        unit_cents: 14_000.0,
        hourly: false,
    },
    Category {
        name: "logistics",
        items: &["pallet, domestic", "parcel, express", "customs handling", "storage per week"],
        unit_cents: 3_500.0,
        hourly: false,
    },
    Category {
        name: "catering",
        items: &["lunch for a meeting", "coffee and fruit", "evening buffet, per person"],
        unit_cents: 2_200.0,
        hourly: false,
    },
];

/// What employees pay for and claim back.
pub(super) const EXPENSES: [Category; 5] = [
    Category {
        name: "meals",
        items: &["dinner with a client", "lunch on the road", "breakfast at the hotel"],
        unit_cents: 2_400.0,
        hourly: false,
    },
    Category {
        name: "travel",
        items: &["train ticket", "flight, economy", "rental car, one day", "parking"],
        unit_cents: 6_500.0,
        hourly: false,
    },
    Category {
        name: "lodging",
        items: &["night at a hotel", "city tax"],
        unit_cents: 9_500.0,
        hourly: false,
    },
    Category {
        name: "taxi",
        items: &["ride to the airport", "ride to a client", "ride home, late"],
        unit_cents: 1_900.0,
        hourly: false,
    },
    Category {
        name: "training",
        items: &["course fee", "technical book", "exam fee"],
        unit_cents: 12_000.0,
        hourly: false,
    },
];
