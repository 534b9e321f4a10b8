#include "base/map.h"

#include "base/test.h"

static void puts_gets_deletes(void **state)
{
	_cleanup_map_ struct map m = { 0 };
	int one = 1, two = 2;
	assert_null(map_get(&m, S("a")));
	assert_false(map_has(&m, S("a")));
	assert_null(map_del(&m, S("a")));
	assert_null(map_put(&m, S("a"), &one));
	assert_ptr_equal(map_put(&m, S("a"), &two), &one);
	assert_ptr_equal(map_get(&m, S("a")), &two);
	assert_null(map_put(&m, S(""), NULL));
	assert_true(map_has(&m, S("")));
	assert_int_equal(m.n, 2);
	assert_ptr_equal(map_del(&m, S("a")), &two);
	assert_false(map_has(&m, S("a")));
	assert_int_equal(m.n, 1);
}

static void copies_keys(void **state)
{
	_cleanup_map_ struct map m = { 0 };
	char key[] = "key";
	map_put(&m, str_c(key), key);
	key[0] = 'x';
	assert_true(map_has(&m, S("key")));
	assert_false(map_has(&m, S("xey")));
}

// Against a plain array: deletion closes gaps in runs of colliding keys.
static void behaves_like_an_array(void **state)
{
	enum { KEYS = 500 };
	static char names[KEYS][8];
	static bool there[KEYS];
	_cleanup_map_ struct map m = { 0 };
	unsigned seed = 7;
	for (int i = 0; i < KEYS; i++)
		snprintf(names[i], sizeof(names[i]), "k%d", i);
	for (int step = 0; step < 20000; step++) {
		seed = seed * 1103515245 + 12345;
		unsigned k = (seed >> 8) % KEYS;
		if (seed >> 28 < 8) {
			map_put(&m, str_c(names[k]), names[k]);
			there[k] = true;
		} else {
			assert_ptr_equal(map_del(&m, str_c(names[k])), there[k] ? names[k] : NULL);
			there[k] = false;
		}
	}
	size_t n = 0, walked = 0;
	for (int i = 0; i < KEYS; i++) {
		assert_int_equal(map_has(&m, str_c(names[i])), there[i]);
		n += there[i];
	}
	assert_int_equal(m.n, n);
	for (struct map_slot *s = NULL; (s = map_each(&m, s));) {
		walked++;
		assert_str_equal(s->key, str_c(s->value));
	}
	assert_int_equal(walked, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_gets_deletes),
		cmocka_unit_test(copies_keys),
		cmocka_unit_test(behaves_like_an_array),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
