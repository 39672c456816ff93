"""Forms made from a task's signature: `fields` draws one, `typed` draws it again, `arguments` reads it."""
