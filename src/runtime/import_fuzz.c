// Image archives: the outer archive, manifests, configurations and names, up to where layers are unpacked (their process
// cannot be started from here). The first byte chooses what the rest is.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "runtime/import.h"
#include "runtime/ref.h"
#include "runtime/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 1 << 20)
		return 0;
	str rest = str_n((const char *)data + 1, size - 1);
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	switch (data[0] % 5) {
	case 0: {
		struct manifest m;
		if (manifest_parse(a, rest, &m, &err) && m.is_index)
			manifest_select(&m);
		break;
	}
	case 1: {
		struct image_config c;
		image_config_parse(a, rest, &c, &err);
		break;
	}
	case 2: {
		struct image_ref r;
		if (image_ref_parse(a, rest, &r, &err)) {
			struct image_ref again;
			str name = r.digest.n ? image_ref_digested(a, &r, r.digest) : image_ref_tagged(a, &r);
			// What it writes it reads as the same.
			if (!image_ref_parse(a, name, &again, &err) || !str_eq(image_ref_name(a, &r), image_ref_name(a, &again)))
				abort();
		}
		break;
	}
	case 3: {
		struct challenge c;
		challenge_parse(a, rest, &c);
		break;
	}
	case 4: {
		char dir[] = "/dev/shm/coracle-fuzz.XXXXXX";
		struct image_store s;
		struct imported_list l = { 0 };
		int fd = memfd_create("archive", MFD_CLOEXEC);
		if (fd >= 0 && mkdtemp(dir) && io_write_all(fd, rest, &err) && lseek(fd, 0, SEEK_SET) == 0 && image_store_open(&s, dir, &err))
			image_import_fd(&s, a, fd, S("fuzz"), &l, &err);
		struct error ignored = { 0 };
		io_remove_tree(dir, &ignored);
		if (fd >= 0)
			close(fd);
		break;
	}
	}
	return 0;
}
