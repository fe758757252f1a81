/*
 * A ring of opens. Owns the links' order, not what embeds them, until opens_fini().
 */
#include "node/opens.h"

#include <stddef.h>

void opens_init(struct opens *o)
{
	mutex_init(&o->mutex);
	o->head = (struct open_link){.prev = &o->head, .next = &o->head};
}

void opens_add(struct opens *o, struct open_link *link, void (*close)(struct open_link *))
{
	link->close = close;
	mutex_lock(&o->mutex);
	link->prev = o->head.prev;
	link->next = &o->head;
	link->prev->next = link;
	o->head.prev = link;
	mutex_unlock(&o->mutex);
}

void opens_remove(struct opens *o, struct open_link *link)
{
	mutex_lock(&o->mutex);
	link->prev->next = link->next;
	link->next->prev = link->prev;
	mutex_unlock(&o->mutex);
}

void opens_fini(struct opens *o)
{
	for (struct open_link *link = o->head.next, *next; link != &o->head; link = next) {
		next = link->next;
		link->close(link);
	}
	mutex_fini(&o->mutex);
}
