/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/api.h>

/* The texts themselves, NUL-terminated; the build runs in the tree's root. */
#define TEXT(symbol, file)                                                                       \
	__asm__(".pushsection .rodata." #symbol ",\"a\",%progbits\n"                             \
		".globl " #symbol "\n.hidden " #symbol "\n" #symbol ":\n.incbin \"src/api/" file \
		".varlink\"\n.byte 0\n.popsection\n");                                           \
	extern const char symbol[] __attribute__((visibility("hidden")))

TEXT(api_text_service, "org.varlink.service");
TEXT(api_text_containers, "io.kapsel.Containers");
TEXT(api_text_node, "io.kapsel.Node");

static const struct {
	const char *name, *text;
} interfaces[] = {
	{ "org.varlink.service", api_text_service },
	{ "io.kapsel.Containers", api_text_containers },
	{ "io.kapsel.Node", api_text_node },
};

const char *api_interface(size_t n)
{
	return n < ARRAY_LEN(interfaces) ? interfaces[n].name : NULL;
}

const char *api_interface_text(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(interfaces); i++)
		if (str_eq(name, interfaces[i].name))
			return interfaces[i].text;
	return NULL;
}
